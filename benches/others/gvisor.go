// What does gVisor's network stack do in a run, on the same device without offload?
//
// versus builds it where Go and Debian's golang-gvisor-gvisor-dev are installed, and starts it as
// `gvisor DEVICE ADDRESS PORT in|out|http`.
package main

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/link/tun"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// The device's number in the stack.
const nic = 1

// As large as the buffers of the others' runs.
const (
	buffer  = 256 << 10
	largest = 4 << 20
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("usage: gvisor DEVICE ADDRESS PORT in|out|http")
	}
	device, work := os.Args[1], os.Args[4]
	addr := net.ParseIP(os.Args[2]).To4()
	port, err := strconv.ParseUint(os.Args[3], 10, 16)
	if addr == nil || err != nil {
		log.Fatal("no IPv4 address, or no port")
	}
	fd, err := tun.Open(device)
	if err != nil {
		log.Fatalf("opening %s: %v", device, err)
	}
	link, err := fdbased.New(&fdbased.Options{FDs: []int{fd}, MTU: 1500})
	if err != nil {
		log.Fatalf("on %s: %v", device, err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	check(s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack))
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: largest / 4, Max: largest}
	check(s.SetTransportProtocolOption(tcp.ProtocolNumber, &receive))
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: largest / 4, Max: largest}
	check(s.SetTransportProtocolOption(tcp.ProtocolNumber, &send))
	check(s.CreateNIC(nic, link))
	own := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.Address(addr), PrefixLen: 24},
	}
	check(s.AddProtocolAddress(nic, own, stack.AddressProperties{}))
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	listener, err := gonet.ListenTCP(s, tcpip.FullAddress{NIC: nic, Addr: tcpip.Address(addr), Port: uint16(port)}, ipv4.ProtocolNumber)
	if err != nil {
		log.Fatalf("listening: %v", err)
	}
	if work == "http" {
		body := bytes.Repeat([]byte("x"), 200)
		log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(body)
		})))
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatalf("accepting: %v", err)
		}
		go func() {
			bytes := make([]byte, buffer)
			for {
				var err error
				if work == "out" {
					_, err = conn.Write(bytes)
				} else if _, err = conn.Read(bytes); err == io.EOF {
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

func check(err tcpip.Error) {
	if err != nil {
		log.Fatal(err)
	}
}

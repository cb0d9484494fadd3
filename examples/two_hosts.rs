//! Two hosts exchange a megabyte over a bad network, in virtual time: the same every time it is run.

use std::error::Error;
use tcpglass::sim::World;

fn main() -> Result<(), Box<dyn Error>> {
    let mut world = World::new(42, "rtt=100ms,bandwidth=10mbit,loss=2%,reorder=1%".parse()?);
    let client = world.add([10, 0, 0, 1]);
    let server = world.add([10, 0, 0, 2]);

    let (here, there) = world.pair(client, server, ([10, 0, 0, 2], 80))?;
    println!("{} s: connected", world.now());

    let received = world.transfer(here, there, &vec![7; 1 << 20])?;
    println!("{} s: {} bytes have arrived", world.now(), received.len());
    println!("on the way there: {:?}", world.link_totals(client, server));
    Ok(())
}

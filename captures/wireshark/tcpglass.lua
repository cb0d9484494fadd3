-- What tcpglass says of a packet, as fields that filters, columns and I/O graphs can use.
--
-- A capture of tcpglass has two comments on each packet: why it was sent (or what became of it), and the state of the
-- connection after it. This post-dissector makes fields of both: tcpglass.why, .reason, .conn, .state, .cwnd,
-- .ssthresh, .flight, .srtt, .rto, .rwnd, .unsent and .limit. Bytes are bytes, times are milliseconds.

local tcpglass = Proto("tcpglass", "tcpglass")

local fields = {
    why = ProtoField.string("tcpglass.why", "Why", "The stable word of the reason"),
    reason = ProtoField.string("tcpglass.reason", "Reason", "The reason as a sentence"),
    conn = ProtoField.uint32("tcpglass.conn", "Connection", base.DEC, nil, nil, "Its number, from 1"),
    state = ProtoField.string("tcpglass.state", "State"),
    cwnd = ProtoField.uint32("tcpglass.cwnd", "Congestion window", base.DEC, nil, nil, "Bytes"),
    ssthresh = ProtoField.uint32("tcpglass.ssthresh", "Slow start threshold", base.DEC, nil, nil, "Bytes; absent until something was lost"),
    flight = ProtoField.uint32("tcpglass.flight", "In flight", base.DEC, nil, nil, "Bytes sent and not acknowledged"),
    srtt = ProtoField.double("tcpglass.srtt", "Smoothed round trip (ms)"),
    rto = ProtoField.double("tcpglass.rto", "Retransmission time-out (ms)"),
    rwnd = ProtoField.uint32("tcpglass.rwnd", "Peer's window", base.DEC, nil, nil, "Bytes"),
    unsent = ProtoField.uint32("tcpglass.unsent", "Unsent", base.DEC, nil, nil, "Bytes written and not sent"),
    limit = ProtoField.string("tcpglass.limit", "Limit", "What keeps them from being sent"),
}

local list = {}
for _, field in pairs(fields) do
    list[#list + 1] = field
end
tcpglass.fields = list

local comment_of = Field.new("frame.comment")

local milliseconds = { ns = 1e-6, us = 1e-3, ms = 1, s = 1e3, min = 6e4, h = 3.6e6 }

-- "98ms" → 98.0; nil for "unset" and whatever else is no time.
local function to_ms(text)
    local number, unit = text:match("^([%d.]+)(%a+)$")
    local factor = milliseconds[unit or ""]
    return factor and tonumber(number) and tonumber(number) * factor
end

local function to_bytes(text)
    local number = tonumber(text)
    return number and number >= 0 and number <= 0xffffffff and math.floor(number) or nil
end

local as_is = function(text) return text end

-- The keys of the second comment, each with how its value is read, in the order in which they are shown.
local keys = {
    { "conn", to_bytes }, { "state", as_is }, { "cwnd", to_bytes }, { "ssthresh", to_bytes }, { "flight", to_bytes },
    { "srtt", to_ms }, { "rto", to_ms }, { "rwnd", to_bytes }, { "unsent", to_bytes }, { "limit", as_is },
}

function tcpglass.dissector(buffer, packet, tree)
    local why, reason, numbers
    for _, comment in ipairs({ comment_of() }) do
        local text = tostring(comment.value)
        if not why and text:sub(1, 4) == "why=" then
            why, reason = text:match("^why=([^: ]+):? ?(.*)$")
        elseif not numbers and text:sub(1, 5) == "conn=" then
            numbers = text
        end
    end
    if not why then
        return
    end
    local branch = tree:add(tcpglass, buffer(0, 0), "tcpglass: " .. why)
    branch:add(fields.why, why):set_generated()
    branch:add(fields.reason, reason):set_generated()
    if not numbers then
        return
    end
    local values = {}
    for key, value in numbers:gmatch("(%w+)=(%S+)") do
        values[key] = value
    end
    for _, row in ipairs(keys) do
        local value = values[row[1]] and row[2](values[row[1]])
        if value then
            branch:add(fields[row[1]], value):set_generated()
        end
    end
end

register_postdissector(tcpglass)

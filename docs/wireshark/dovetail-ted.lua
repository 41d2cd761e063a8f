-- Wireshark dissector for tunnel endpoint discovery, as docs/ted-wire.md lays it out.
--   tshark -X lua_script:docs/wireshark/dovetail-ted.lua -r capture.pcap -Y dovetail_ted
-- UDP port 500 belongs to Wireshark's ISAKMP; this one takes a datagram only when its header is a discovery message
-- (version 1.0, exchange 240 or 241, our vendor hash) and leaves the rest to the one that was there before.

local ted = Proto("dovetail_ted", "Dovetail Tunnel Endpoint Discovery")

local exchanges = { [240] = "probe", [241] = "reply" }
local payloads = { [0] = "none", [5] = "ID", [13] = "Vendor", [128] = "Proxy address", [129] = "Packet summary",
    [130] = "TED response", [131] = "Name" }
local id_types = { [1] = "IPv4 address", [5] = "IPv6 address" }
local vendor_hash = "0fc77799f46a08f5a5010c406914a900"

local f = {
    icookie = ProtoField.uint64("dovetail_ted.icookie", "Initiator cookie", base.HEX),
    rcookie = ProtoField.uint64("dovetail_ted.rcookie", "Responder cookie", base.HEX),
    next = ProtoField.uint8("dovetail_ted.next", "Next payload", base.DEC, payloads),
    version = ProtoField.uint8("dovetail_ted.version", "Version", base.HEX),
    exchange = ProtoField.uint8("dovetail_ted.exchange", "Exchange type", base.DEC, exchanges),
    flags = ProtoField.uint8("dovetail_ted.flags", "Flags", base.HEX),
    message_id = ProtoField.uint32("dovetail_ted.message_id", "Message id", base.DEC),
    length = ProtoField.uint32("dovetail_ted.length", "Length", base.DEC),
    payload = ProtoField.uint8("dovetail_ted.payload", "Payload", base.DEC, payloads),
    payload_length = ProtoField.uint16("dovetail_ted.payload_length", "Payload length", base.DEC),
    vendor = ProtoField.bytes("dovetail_ted.vendor", "Vendor hash"),
    capabilities = ProtoField.uint32("dovetail_ted.capabilities", "Capability flags", base.HEX),
    cap_several = ProtoField.bool("dovetail_ted.cap.several", "Several TED responses", 32, nil, 0x1),
    cap_ipv6 = ProtoField.bool("dovetail_ted.cap.ipv6", "IPv6", 32, nil, 0x2),
    cap_ikev2 = ProtoField.bool("dovetail_ted.cap.ikev2", "IKEv2", 32, nil, 0x4),
    id_type = ProtoField.uint8("dovetail_ted.id_type", "ID type", base.DEC, id_types),
    ted_version = ProtoField.uint8("dovetail_ted.ted_version", "TED version", base.DEC),
    ip_version = ProtoField.uint8("dovetail_ted.ip_version", "IP version", base.DEC),
    name = ProtoField.string("dovetail_ted.name", "Name"),
    protocol = ProtoField.uint8("dovetail_ted.protocol", "IP protocol (0: any)", base.DEC),
    sport = ProtoField.uint16("dovetail_ted.sport", "Source port", base.DEC),
    dport = ProtoField.uint16("dovetail_ted.dport", "Destination port", base.DEC),
    own_port = ProtoField.uint16("dovetail_ted.own_port", "Responder's port (0: any)", base.DEC),
    peer_port = ProtoField.uint16("dovetail_ted.peer_port", "Initiator's port (0: any)", base.DEC),
}
local names = { "id", "proxy", "proxy_mask", "src", "dst", "y", "y_mask", "z", "z_mask" }
local titles = { id = "Address", proxy = "Proxy address", proxy_mask = "Proxy mask", src = "Source address",
    dst = "Destination address", y = "Y: responder protects", y_mask = "Mask of Y", z = "Z: initiator's side",
    z_mask = "Mask of Z" }
for _, n in ipairs(names) do
    f[n .. "4"] = ProtoField.ipv4("dovetail_ted." .. n, titles[n])
    f[n .. "6"] = ProtoField.ipv6("dovetail_ted." .. n .. "6", titles[n])
end
ted.fields = f

local malformed = ProtoExpert.new("dovetail_ted.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
ted.experts = { malformed }

local function addr_size(ver)
    return ver == 4 and 4 or ver == 6 and 16 or nil
end

-- Adds addresses one after the other; false when they do not fit the body exactly.
local function addresses(tree, body, at, ver, list)
    local n = addr_size(ver)
    if not n or body:len() ~= at + n * #list then return false end
    for i, name in ipairs(list) do
        tree:add(f[name .. ver], body(at + n * (i - 1), n))
    end
    return true
end

local function vendor(tree, b)
    if b:len() ~= 20 then return false end
    tree:add(f.vendor, b(0, 16))
    local c = tree:add(f.capabilities, b(16, 4))
    c:add(f.cap_several, b(16, 4))
    c:add(f.cap_ipv6, b(16, 4))
    c:add(f.cap_ikev2, b(16, 4))
    return true
end

local function identity(tree, b)
    if b:len() < 8 then return false end
    tree:add(f.id_type, b(0, 1))
    local t = b(0, 1):uint()
    return addresses(tree, b, 4, t == 1 and 4 or t == 5 and 6 or 0, { "id" })
end

local function proxy(tree, b)
    if b:len() < 4 then return false end
    tree:add(f.ip_version, b(0, 1))
    return addresses(tree, b, 4, b(0, 1):uint(), { "proxy", "proxy_mask" })
end

local function summary(tree, b)
    if b:len() < 24 then return false end
    tree:add(f.vendor, b(0, 16))
    tree:add(f.ted_version, b(16, 1))
    tree:add(f.ip_version, b(17, 1))
    tree:add(f.protocol, b(18, 1))
    tree:add(f.sport, b(20, 2))
    tree:add(f.dport, b(22, 2))
    return addresses(tree, b, 24, b(17, 1):uint(), { "src", "dst" })
end

local function response(tree, b)
    if b:len() < 8 then return false end
    tree:add(f.ip_version, b(0, 1))
    tree:add(f.protocol, b(1, 1))
    tree:add(f.own_port, b(4, 2))
    tree:add(f.peer_port, b(6, 2))
    return addresses(tree, b, 8, b(0, 1):uint(), { "y", "y_mask", "z", "z_mask" })
end

local function name(tree, b)
    if b:len() > 111 then return false end
    tree:add(f.name, b())
    return true
end

local bodies = { [13] = vendor, [5] = identity, [128] = proxy, [129] = summary, [130] = response, [131] = name }

local function is_ted(buf)
    if buf:len() < 52 or buf(17, 1):uint() ~= 0x10 or not exchanges[buf(18, 1):uint()] then return false end
    return buf(16, 1):uint() == 13 and buf(32, 16):bytes():tohex(true) == vendor_hash
end

function ted.dissector(buf, pinfo, root)
    pinfo.cols.protocol = "TED"
    local what = exchanges[buf(18, 1):uint()]
    local tree = root:add(ted, buf(), "Dovetail Tunnel Endpoint Discovery, " .. what)
    tree:add(f.icookie, buf(0, 8))
    tree:add(f.rcookie, buf(8, 8))
    tree:add(f.next, buf(16, 1))
    tree:add(f.version, buf(17, 1))
    tree:add(f.exchange, buf(18, 1))
    tree:add(f.flags, buf(19, 1))
    tree:add(f.message_id, buf(20, 4))
    tree:add(f.length, buf(24, 4))
    if buf(24, 4):uint() ~= buf:len() then
        tree:add_proto_expert_info(malformed, "the length does not match the datagram")
    end
    local kind, at, n = buf(16, 1):uint(), 28, 0
    while kind ~= 0 do
        if at + 4 > buf:len() or buf(at + 2, 2):uint() < 4 or at + buf(at + 2, 2):uint() > buf:len() then
            tree:add_proto_expert_info(malformed, "a payload is longer than the message")
            break
        end
        local len = buf(at + 2, 2):uint()
        local p = tree:add(buf(at, len), (payloads[kind] or "Unknown") .. " payload")
        p:add(f.payload, kind)
        p:add(f.payload_length, buf(at + 2, 2))
        if bodies[kind] and (len == 4 or not bodies[kind](p, buf(at + 4, len - 4):tvb())) then
            p:add_proto_expert_info(malformed, "this payload is malformed")
        end
        if kind == 130 then n = n + 1 end
        kind, at = buf(at, 1):uint(), at + len
    end
    pinfo.cols.info = "TED " .. what .. (n > 0 and (", " .. n .. (n == 1 and " proxy" or " proxies")) or "")
    return buf:len()
end

local before = DissectorTable.get("udp.port"):get_dissector(500)
local pick = Proto("dovetail_udp500", "UDP 500: discovery or ISAKMP")
function pick.dissector(buf, pinfo, root)
    if is_ted(buf) then return ted.dissector(buf, pinfo, root) end
    if before then return before:call(buf, pinfo, root) end
    return 0
end
DissectorTable.get("udp.port"):add(500, pick)

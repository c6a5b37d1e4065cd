-- Sends each line of the file TARGETS once: the signature, a space, the body. With PAUSE it waits
-- about so many milliseconds before each request of a connection, so that the rate is steady.
local targets, sent = {}, 0
for line in io.lines(os.getenv("TARGETS")) do targets[#targets + 1] = line end
local pause = tonumber(os.getenv("PAUSE") or "0")

function request()
  sent = sent + 1
  local signature, body = targets[(sent - 1) % #targets + 1]:match("^(%S+) (.*)$")
  return wrk.format("POST", nil, {
    ["Stripe-Signature"] = signature, ["Content-Type"] = "application/json"
  }, body)
end

if pause > 0 then
  function delay() return math.random(0, 2 * pause) end
end

function done(summary, latency)
  io.write(string.format('\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "slowest": %f,'
    .. ' "refused": %d, "broken": %d}\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout))
end

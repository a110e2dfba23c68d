-- A script for wrk: sends prepared requests in a loop, and prints the results as JSON.
-- The plan is a file of lines: method, path, bearer token, client address, body; tab-separated.

local plan = {}
local position = 0
local once = false      -- send each line one time only (a task can be deleted once)
local chained = false   -- each response has the refresh token of a later request
local path              -- of the plan's last line; in a chained plan all lines have the same

local function prepared(line)
  local method, path, token, client, body =
    line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
  local headers = { ["Host"] = "127.0.0.1" }
  if token ~= "" then headers["Authorization"] = "Bearer " .. token end
  if client ~= "" then headers["X-Forwarded-For"] = client end
  if body ~= "" then headers["Content-Type"] = "application/json" end
  return wrk.format(method, path, headers, body ~= "" and body or nil)
end

function init(args)
  once = args[2] == "once"
  chained = args[2] == "chained"
  for line in io.lines(args[1]) do
    plan[#plan + 1] = prepared(line)
    path = line:match("^[^\t]*\t([^\t]*)")
  end
  if not once and not chained then
    math.randomseed(os.time())
    position = math.random(#plan)
  end
  if not chained then response = nil end  -- wrk is faster without a response function
  io.write("ready\n")  -- it sends from now on
  io.flush()
end

function request()
  position = position + 1
  if position > #plan then
    if once then wrk.thread:stop() end
    position = 1
  end
  return plan[position]
end

-- For chained plans only: appends a request with the new token to the plan.
function response(status, headers, body)
  local token = body:match('"refresh_token":%s*"([^"]+)"')
  if token then
    local client = string.format("10.%d.%d.%d", math.random(255), math.random(255), math.random(255))
    plan[#plan + 1] = prepared("POST\t" .. path .. "\t\t" .. client
      .. '\t{"refresh_token":"' .. token .. '"}')
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

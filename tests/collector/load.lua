-- Batches of 100 events for wrk, each event with a name and a time of its own:
--   wrk -t1 -c16 -d20s --latency -s tests/collector/load.lua http://127.0.0.1:8080
-- The write key is "key".
local events, number, refused = 100, 0, 0
local headers = { ["Authorization"] = "Basic a2V5Og==", ["Content-Type"] = "application/json" }
local names = { "page_view", "purchase", "add_to_cart", "search" }
local parts = {}
local run = tostring(os.time())

function request()
  local now = os.time() * 1000
  for place = 1, events do
    number = number + 1
    parts[place] = '{"type":"track","messageId":"' .. run .. "-" .. number
      .. '","userId":"user-' .. (number * 7919 % 100000)
      .. '","event":"' .. names[number % 4 + 1]
      .. '","timestamp":' .. now
      .. ',"properties":{"amount":' .. (number % 97) .. ',"path":"/products/' .. (number % 500)
      .. '","currency":"EUR"},"context":{"library":{"name":"load","version":"1"}}}'
  end
  return wrk.format("POST", "/v1/batch", headers, '{"batch":[' .. table.concat(parts, ",") .. "]}")
end

function response(status)
  if status ~= 200 then
    refused = refused + 1
    if refused % 100 == 1 then io.stderr:write("status " .. status .. "\n") end
  end
end

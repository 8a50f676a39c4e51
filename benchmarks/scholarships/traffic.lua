-- The traffic of `make load`, for wrk: a list, single scholarships, filtered lists and searches, in a fixed order of 400.
-- Arguments: how many scholarships there are; a token, which every other request carries. What was measured is the last line.
local requests = {}
local last = 0
local countries = {"Norway", "Kenya", "Canada", "India", "Brazil", "Japan", "France", "Chile"}
local levels = {"undergraduate", "graduate", "doctoral", "postdoctoral", "vocational"}
local words = {"climate", "medicine", "history", "robotics", "education", "water", "music", "energy"}

local function any(list)
   return list[math.random(#list)]
end

function init(arguments)
   math.randomseed(7)
   local total = tonumber(arguments[1])
   for number = 1, 400 do
      local headers = {["Accept"] = "application/json", ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) wrk"}
      if arguments[2] and number % 2 == 0 then
         headers["Authorization"] = "Bearer " .. arguments[2]
      end
      local kind = number % 10
      if kind < 3 then
         requests[number] = wrk.format("GET", "/scholarships/" .. math.random(total), headers)
      elseif kind < 5 then
         requests[number] = wrk.format("GET", "/scholarships?limit=20&offset=" .. math.random(0, 20) * 20, headers)
      elseif kind < 7 then
         local path = "/scholarships?sort=-amount&min_amount=" .. math.random(1, 20) * 1000
         requests[number] = wrk.format("GET", path .. "&country=" .. any(countries) .. "&level=" .. any(levels), headers)
      else
         headers["Content-Type"] = "application/json"
         local body = '{"query":"' .. any(words) .. " " .. any(words) .. '","max_amount":' .. math.random(10, 40) * 1000 .. "}"
         requests[number] = wrk.format("POST", "/search", headers, body)
      end
   end
end

function request()
   last = last % #requests + 1
   return requests[last]
end

function done(summary, latency, _)
   local failed = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
      failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end

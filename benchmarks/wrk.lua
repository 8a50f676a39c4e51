-- Asks for another scholarship each time, as benchmarks/load.py does.
local number = 0

request = function()
  number = number % 9999 + 1
  return wrk.format("GET", "/api/v1/scholarships/" .. number)
end

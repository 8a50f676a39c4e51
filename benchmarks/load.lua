-- The load of `benchmarks/workers.py`, for wrk: the request of `application.py`, for another scholarship each time.
local requests = {}
local last = 0

function init(arguments)
   for number = 1, 1000 do
      requests[number] = wrk.format("GET", arguments[1] .. number)
   end
end

function request()
   last = last % #requests + 1
   return requests[last]
end

-- Wherever a script can look at an error, it sees what Redis would show, never how we carry errors.
local globals, plain, caught = ...
local pcall, xpcall, error = pcall, xpcall, error
local resume, status, create = coroutine.resume, coroutine.status, coroutine.create

local function after_pcall(ok, ...)
  if ok then return true, ... end
  return false, caught((...))
end
globals.pcall = function(...) return after_pcall(pcall(...)) end

local function after(ok, ...)
  if ok then return true, ... end
  return false, plain((...))
end
globals.xpcall = function(f, handler)
  return after(xpcall(f, function(e) return handler(plain(e)) end))
end
globals.coroutine.resume = function(...) return after(resume(...)) end

-- Runs scripts and functions; nothing is created for a call.
local xpcall, handler = ...
local f, keys, args
local function with_arguments() return f(keys, args) end
local function script(code) return xpcall(code, handler) end
local function call(code, k, a)
  f, keys, args = code, k, a
  return xpcall(with_arguments, handler)
end
return script, call

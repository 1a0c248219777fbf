-- Runs scripts and functions; nothing is created for a call.
local xpcall, handler, rawset, real = ...
local f, keys, args
local function with_arguments() return f(keys, args) end
local function load(code) return xpcall(code, handler) end
local function script(code, k, a)
  rawset(real, "KEYS", k or {})
  rawset(real, "ARGV", a or {})
  return xpcall(code, handler)
end
local function call(code, k, a)
  f, keys, args = code, k or {}, a or {}
  return xpcall(with_arguments, handler)
end
return load, script, call

-- What can be set, and what it is otherwise.
local M = {
  -- the program; a name is looked up on PATH
  command = 'runlog',
  -- how many runs are listed at first, and how many more are loaded at once
  page = 100,
  -- how many bytes of a record are shown at first, and how many more are loaded at once
  piece = 256 * 1024,
}

local defaults = vim.deepcopy(M)

-- the least and the most that a number may be, for the daemon
M.limits = { page = { 1, 1000 }, piece = { 1024, 60 * 1024 * 1024 } }

---@param options? { command?: string, page?: integer, piece?: integer }
function M.set(options)
  for name, value in pairs(options or {}) do
    local default = defaults[name]
    if default == nil then
      error(('runlog: there is no option %q; :help runlog-setup names them'):format(name), 0)
    end
    if type(value) ~= type(default) then
      error(('runlog: the option %q is a %s'):format(name, type(default)), 0)
    end
    local least, most = unpack(M.limits[name] or {})
    if least and (value < least or value > most or value % 1 ~= 0) then
      error(('runlog: the option %q is a whole number from %d to %d'):format(name, least, most), 0)
    end
    if name == 'command' and vim.startswith(value, '~') then
      value = vim.fn.fnamemodify(value, ':p')
    end
    M[name] = value
  end
end

return M

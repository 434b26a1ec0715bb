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
    -- 1.5 the daemon would refuse
    if type(value) == 'number' and (value < 1 or value % 1 ~= 0) then
      error(('runlog: the option %q is a whole number, at least 1'):format(name), 0)
    end
    if name == 'page' and value > 1000 then
      error('runlog: the option "page" is between 1 and 1000', 0)
    end
    if name == 'command' and vim.startswith(value, '~') then
      value = vim.fn.fnamemodify(value, ':p')
    end
    M[name] = value
  end
end

return M

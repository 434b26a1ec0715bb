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
    M[name] = value
  end
  if M.page < 1 or M.page > 1000 then
    error('runlog: the option "page" is between 1 and 1000', 0)
  end
end

return M

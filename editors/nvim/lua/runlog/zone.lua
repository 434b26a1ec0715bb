-- The IANA name of this machine's time zone, in which "today" is meant.
local M = {}

local name

---@return string
function M.name()
  if not name then
    local zone = vim.env.TZ
    if not zone or zone == '' then
      zone = (vim.uv.fs_realpath('/etc/localtime') or ''):match('zoneinfo/(.+)$')
    end
    zone = zone and zone:gsub('^:', ''):gsub('^posix/', '')
    -- what is no name, such as CET-1CEST, the daemon would refuse
    name = zone and zone:match('^%a[%w+_-]*/[%w+_/-]+$') or 'UTC'
  end
  return name
end

return M

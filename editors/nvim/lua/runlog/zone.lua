-- The IANA name of this machine's time zone, in which "today" is meant.
local M = {}

local name

---What TZ means, as the C library reads it.
---@return string
local function spelt()
  local zone = vim.env.TZ
  if not zone or zone == '' then
    zone = '/etc/localtime'
  end
  zone = zone:gsub('^:', '')
  if zone:sub(1, 1) == '/' then
    zone = (vim.uv.fs_realpath(zone) or zone):match('zoneinfo/(.+)$') or ''
  end
  return (zone:gsub('^posix/', ''))
end

---@return string
function M.name()
  if not name then
    local zone = spelt()
    -- what is no name, such as CET-1CEST, the daemon would refuse; without a slash only the names of files are some
    local named = zone:match('^%a[%w+_-]*/[%w+_/-]+$')
      or zone:match('^%a[%w+-]*$') and vim.uv.fs_stat((vim.env.TZDIR or '/usr/share/zoneinfo') .. '/' .. zone)
    name = named and zone or 'UTC'
  end
  return name
end

return M

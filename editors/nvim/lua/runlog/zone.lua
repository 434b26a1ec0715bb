-- The IANA name of this machine's time zone, in which "today" is meant. `LOCAL` in src/cli/time.rs finds it alike.
local M = {}

local name
local localtime = '/etc/localtime'

local function zones()
  return vim.env.TZDIR or '/usr/share/zoneinfo'
end

---@param path string
local function read(path)
  local file = io.open(path, 'rb')
  local text = file and file:read('*a')
  if file then
    file:close()
  end
  return text
end

---@param file string
---@return string? name of a zone that has the same in its file, as where it was copied
local function held(file)
  local text = read(file)
  for zone in vim.fs.dir(zones(), { depth = 3 }) do
    -- the others are no names: posix/Asia/Tokyo, localtime
    if text and zone:find('^%u') then
      local path = zones() .. '/' .. zone
      local stat = vim.uv.fs_stat(path)
      if stat and stat.type == 'file' and stat.size == #text and read(path) == text then
        return zone
      end
    end
  end
end

---What TZ means, as the C library reads it.
---@return string
local function spelt()
  local zone = vim.env.TZ
  if not zone or zone == '' then
    zone = localtime
  end
  zone = zone:gsub('^:', '')
  if zone:sub(1, 1) == '/' then
    local file = zone
    if not vim.uv.fs_stat(file) then
      return 'UTC'
    end
    zone = (vim.uv.fs_realpath(file) or file):match('zoneinfo/(.+)$') or held(file)
      or file == localtime and vim.trim(read('/etc/timezone') or '') or ''
  end
  return (zone:gsub('^posix/', ''))
end

---@param rule string
---@return string? name of a zone of whole hours: `JST-9`, `<+03>-3`
local function fixed(rule)
  local hours = tonumber(rule:match('^<[^>]+>([+-]?%d+)$') or rule:match('^%a+([+-]?%d+)$'))
  if hours and hours >= -14 and hours <= 12 then
    return hours == 0 and 'UTC' or ('Etc/GMT%+d'):format(hours)
  end
end

---@return string
function M.name()
  if not name then
    local zone = spelt()
    -- what is no name, such as CET-1CEST, the daemon would refuse; without a slash only the names of files are some
    local named = zone == 'UTC' or zone:match('^%a[%w+_-]*/[%w+_/-]+$')
      or zone:match('^%a[%w+-]*$') and vim.uv.fs_stat(zones() .. '/' .. zone)
    name = named and zone or fixed(zone)
    if not name then
      name = 'UTC'
      vim.notify("runlog: this machine's time zone has no known name; days are those of UTC.", vim.log.levels.WARN)
    end
  end
  return name
end

return M

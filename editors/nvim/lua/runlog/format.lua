-- Values as they are shown. Nothing is computed here but the spelling.
local M = {}

local statuses = {
  completed = 'RunlogCompleted',
  failed = 'RunlogFailed',
  running = 'RunlogRunning',
  queued = 'RunlogQueued',
  paused = 'RunlogPaused',
  cancelled = 'RunlogCancelled',
  stale = 'RunlogStale',
}

---@param status string
function M.status_group(status)
  return statuses[status] or 'RunlogOther'
end

---@param date string? RFC 3339, as the protocol has it
---@return number? seconds since 1970
function M.seconds(date)
  local year, month, day, hour, minute, second = (date or ''):match('^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z$')
  if not year then
    return nil
  end
  local y, m = tonumber(year), tonumber(month)
  if m <= 2 then
    y, m = y - 1, m + 12
  end
  -- days since 1970-01-01, the year beginning in March
  local days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    + math.floor((153 * (m - 3) + 2) / 5) + tonumber(day) - 719469
  return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end

---@param date string?
---@param pattern? string of `os.date`
---@return string? in the zone of this machine
function M.date(date, pattern)
  local seconds = M.seconds(date)
  return seconds and os.date(pattern or '%Y-%m-%d %H:%M:%S', math.floor(seconds)) --[[@as string]] or date
end

-- beyond a million years a number tells nobody anything; `span` in src/cli/time.rs has the same
local duration_most = 3e16

---@param milliseconds number?
function M.duration(milliseconds)
  if not milliseconds then
    return nil
  elseif milliseconds < 0 then
    return '-' .. M.duration(-milliseconds)
  elseif milliseconds > duration_most then
    return 'ages'
  elseif milliseconds < 1000 then
    return ('%d ms'):format(milliseconds)
  elseif milliseconds < 60000 then
    return ('%.1f s'):format(math.floor(milliseconds / 100) / 10)
  end
  local seconds = math.floor(milliseconds / 1000)
  if seconds < 3600 then
    return ('%d m %02d s'):format(math.floor(seconds / 60), seconds % 60)
  end
  return ('%d h %02d m'):format(math.floor(seconds / 3600), math.floor(seconds / 60) % 60)
end

---@param dollars number?
function M.cost(dollars)
  if not dollars then
    return nil
  end
  -- no more places than tell it from every other: a large amount has not room for nine
  local text
  for places = 2, 9 do
    text = ('%%.%df'):format(places):format(dollars)
    if tonumber(text) == dollars then
      break
    end
  end
  text = text:gsub('0+$', '')
  local whole, places = text:match('^(-?%d+)%.(%d*)$')
  local sign = vim.startswith(whole, '-') and '-' or ''
  return ('%s$%s.%s'):format(sign, whole:gsub('^-', ''), places .. ('0'):rep(2 - #places))
end

---@param count number?
function M.count(count)
  if not count then
    return nil
  end
  local text = ('%.0f'):format(count)
  local grouped = text:reverse():gsub('(%d%d%d)', '%1,'):reverse():gsub('^(%-?),', '%1')
  return grouped
end

---@param bytes number
function M.bytes(bytes)
  for _, unit in ipairs({ { 'GB', 1e9 }, { 'MB', 1e6 }, { 'kB', 1e3 } }) do
    if bytes >= unit[2] then
      return ('%.1f %s'):format(bytes / unit[2], unit[1])
    end
  end
  return ('%d bytes'):format(bytes)
end

-- What would move the cursor or turn the writing round on a terminal: control characters, marks of direction, line
-- and paragraph separators, characters that nobody sees. As bytes, since Vim's patterns take some of them for parts
-- of the character before. `acts` in src/cli/terminal.rs has the same.
local unseen = {
  '[%z\1-\8\11-\31\127]',
  '\194[\128-\159]', -- U+0080 to U+009F
  '\216\156', -- U+061C
  '\226\128[\139\142\143\168-\174]', -- U+200B, U+200E, U+200F, U+2028 to U+202E
  '\226\129[\160-\169]', -- U+2060 to U+2069
  '\239\187\191', -- U+FEFF
  '\239\191[\185-\187]', -- U+FFF9 to U+FFFB
  '\243\160[\128\129][\128-\191]', -- U+E0000 to U+E007F
}
-- how all of them begin
local begins = '[%z\1-\8\11-\31\127\194\216\226\239\243]'

local function spelt(char)
  local code = #char == 1 and char:byte() or vim.fn.char2nr(char)
  return code < 32 and vim.fn.nr2char(0x2400 + code) or code == 127 and '␡' or ('<%04x>'):format(code)
end

---One line of text that shows every character for what it is.
---@param text string
function M.visible(text)
  if not text:find(begins) then
    return text
  end
  for _, pattern in ipairs(unseen) do
    if text:find(pattern) then
      text = text:gsub(pattern, spelt)
    end
  end
  return text
end

---@param text string
---@return string the first line, on one line
function M.line(text)
  return (M.visible(text:match('^[^\r\n]*')):gsub('\t', ' '))
end

---@param text string
---@return string[] its lines
function M.lines(text)
  local lines = vim.split(text:gsub('\r\n', '\n'), '\n', { plain = true })
  for i, line in ipairs(lines) do
    lines[i] = M.visible(line)
  end
  return lines
end

---@param text string
---@param width integer in cells
---@return string of just that width, or wider if it does not fit
function M.pad(text, width)
  return text .. (' '):rep(width - vim.fn.strdisplaywidth(text))
end

---@param text string
---@param width integer in cells
---@return string
function M.shorten(text, width)
  if vim.fn.strdisplaywidth(text) <= width then
    return text
  end
  local room = width - vim.fn.strdisplaywidth('…')
  local short = vim.fn.strcharpart(text, 0, room, true)
  while vim.fn.strdisplaywidth(short) > room do
    short = vim.fn.strcharpart(short, 0, vim.fn.strcharlen(short) - 1, true)
  end
  return short .. '…'
end

---A byte offset in `text` of an offset in UTF-16 units, and the other way round.
---@param text string
---@param units integer
function M.byte_of_utf16(text, units)
  units = math.max(0, units)
  if vim.fn.has('nvim-0.11') == 1 then
    return vim.str_byteindex(text, 'utf-16', units, false)
  end
  local ok, byte = pcall(vim.str_byteindex, text, units, true)
  return ok and byte or #text
end

---@param text string
---@param byte integer
function M.utf16_of_byte(text, byte)
  byte = math.min(byte, #text)
  if vim.fn.has('nvim-0.11') == 1 then
    return vim.str_utfindex(text, 'utf-16', byte, false)
  end
  local _, units = vim.str_utfindex(text, byte)
  return units
end

return M

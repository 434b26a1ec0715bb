-- JSON read into a tree that keeps what Lua tables lose: the order of members, the spelling of numbers, null,
-- and which of {} and [] it was. Records are shown from it. A lone surrogate becomes U+FFFD.
local M = {}

---@class runlog.Json
---@field kind 'object'|'array'|'string'|'number'|'boolean'|'null'
---@field text? string of a string, a number and a boolean
---@field keys? string[] of an object, in order
---@field members? table<string, runlog.Json> of an object; of repeated keys the last one
---@field [integer] runlog.Json the elements of an array

local escapes = { b = '\b', f = '\f', n = '\n', r = '\r', t = '\t', ['"'] = '"', ['\\'] = '\\', ['/'] = '/' }
local replacement = '\239\191\189'

---@param code integer
local function utf8(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return string.char(
    0xF0 + math.floor(code / 0x40000),
    0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40,
    0x80 + code % 0x40
  )
end

---@param text string what is between the quotes
local function unescape(text)
  if not text:find('\\', 1, true) then
    return text
  end
  local parts, at = {}, 1
  while true do
    local slash = text:find('\\', at, true)
    if not slash then
      parts[#parts + 1] = text:sub(at)
      return table.concat(parts)
    end
    parts[#parts + 1] = text:sub(at, slash - 1)
    local letter = text:sub(slash + 1, slash + 1)
    if letter ~= 'u' then
      parts[#parts + 1] = escapes[letter] or letter
      at = slash + 2
    else
      local code = tonumber(text:sub(slash + 2, slash + 5), 16)
      at = slash + 6
      if not code then
        parts[#parts + 1] = replacement
      elseif code >= 0xD800 and code < 0xDC00 then
        local low = tonumber(text:match('^\\u(%x%x%x%x)', at) or '', 16)
        if low and low >= 0xDC00 and low < 0xE000 then
          parts[#parts + 1] = utf8(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00)
          at = at + 6
        else
          parts[#parts + 1] = replacement
        end
      elseif code >= 0xDC00 and code < 0xE000 then
        parts[#parts + 1] = replacement
      else
        parts[#parts + 1] = utf8(code)
      end
    end
  end
end

---@param text string
---@param at integer of the opening quote
local function string_at(text, at)
  local from = at + 1
  while true do
    local found = text:find('["\\]', from)
    if not found then
      error('a string without an end')
    end
    if text:byte(found) == 34 then
      return unescape(text:sub(at + 1, found - 1)), found + 1
    end
    from = found + 2
  end
end

local value_at

local function object_at(text, at)
  local node = { kind = 'object', keys = {}, members = {} }
  at = text:find('%S', at + 1)
  while at and text:byte(at) ~= 125 do
    local key
    key, at = string_at(text, at)
    at = text:match('^%s*:%s*()', at)
    if node.members[key] == nil then
      node.keys[#node.keys + 1] = key
    end
    node.members[key], at = value_at(text, at)
    at = text:match('^%s*,?%s*()', at)
  end
  return node, at + 1
end

local function array_at(text, at)
  local node = { kind = 'array' }
  at = text:find('%S', at + 1)
  while at and text:byte(at) ~= 93 do
    node[#node + 1], at = value_at(text, at)
    at = text:match('^%s*,?%s*()', at)
  end
  return node, at + 1
end

function value_at(text, at)
  local byte = text:byte(at)
  if byte == 123 then
    return object_at(text, at)
  elseif byte == 91 then
    return array_at(text, at)
  elseif byte == 34 then
    local value, after = string_at(text, at)
    return { kind = 'string', text = value }, after
  end
  local word, after = text:match('^([%w+.-]+)()', at)
  if word == 'null' then
    return { kind = 'null' }, after
  elseif word == 'true' or word == 'false' then
    return { kind = 'boolean', text = word }, after
  elseif word then
    return { kind = 'number', text = word }, after
  end
  error('not JSON')
end

---@param text string
---@return runlog.Json
function M.parse(text)
  return (value_at(text, text:find('%S')))
end

---@param node runlog.Json?
---@param ... string|integer keys of objects, indices of arrays from 1
---@return runlog.Json?
function M.at(node, ...)
  for _, step in ipairs({ ... }) do
    if not node then
      return nil
    end
    if type(step) == 'string' then
      node = node.kind == 'object' and node.members[step] or nil
    else
      node = node.kind == 'array' and node[step] or nil
    end
  end
  return node
end

---@param node runlog.Json?
---@return string? text of a string
function M.string(node)
  return node and node.kind == 'string' and node.text or nil
end

---@param node runlog.Json?
---@return number? none of one that is too large for a number
function M.number(node)
  local number = node and node.kind == 'number' and tonumber(node.text) or nil
  return number and math.abs(number) < math.huge and number or nil
end

---@param text string
function M.quote(text)
  return '"'
    .. text:gsub('[%c"\\\127]', function(char)
      local short = ({ ['"'] = '\\"', ['\\'] = '\\\\', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t' })[char]
      return short or ('\\u%04x'):format(char:byte())
    end)
    .. '"'
end

---The text without what no decoder but ours takes: escapes of lone surrogates become U+FFFD.
---@param text string
function M.tame(text)
  local parts, at = {}, 1
  while true do
    local slash = text:find('\\', at, true)
    if not slash then
      parts[#parts + 1] = text:sub(at)
      return table.concat(parts)
    end
    parts[#parts + 1] = text:sub(at, slash - 1)
    local pair = text:match('^\\u[dD][89abAB]%x%x\\u[dD][c-fC-F]%x%x', slash)
    local lone = not pair and text:match('^\\u[dD][89a-fA-F]%x%x', slash)
    if pair then
      parts[#parts + 1] = pair
      at = slash + 12
    elseif lone then
      parts[#parts + 1] = '\\ufffd'
      at = slash + 6
    else
      parts[#parts + 1] = text:sub(slash, slash + 1)
      at = slash + 2
    end
  end
end

return M

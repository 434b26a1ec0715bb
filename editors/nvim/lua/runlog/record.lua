-- A record as lines of text, and the reading of what was left out of it.
local config = require('runlog.config')
local format = require('runlog.format')
local json = require('runlog.json')

local M = {}

-- how many bytes are asked for at once, at most
local most = config.limits.piece[2]

---@class runlog.RecordLine: runlog.Line
---@field level integer of folds
---@field starts? boolean a fold
---@field cut? string pointer to what was left out here
---@field step? integer
---@field file? boolean

---@param pointer string
---@return (string|integer)[]
local function steps_of(record, pointer)
  local path, node = {}, record
  for token in pointer:gmatch('/([^/]*)') do
    local key = token:gsub('~1', '/'):gsub('~0', '~')
    local step = node and node.kind == 'array' and tonumber(key) and tonumber(key) + 1 or key
    path[#path + 1] = step
    node = json.at(node, step)
  end
  return path
end

---@param record runlog.Json
---@param pointer string
function M.at(record, pointer)
  return json.at(record, unpack(steps_of(record, pointer)))
end

---Marks where something was left out.
---@param record runlog.Json
---@param cuts runlog.Json?
local function mark(record, cuts)
  for _, cut in ipairs(cuts or {}) do
    local pointer = json.string(json.at(cut, 'pointer'))
    local node = pointer and M.at(record, pointer)
    if node then
      node.cut = {
        pointer = pointer,
        kind = json.string(json.at(cut, 'kind')),
        given = json.number(json.at(cut, 'given')) or 0,
        length = json.number(json.at(cut, 'length')),
        bytes = json.number(json.at(cut, 'sizeBytes')) or 0,
      }
    end
  end
end

---@param client runlog.Client
---@param run { projectId: string, executionId: string }
---@param bytes integer
---@param done fun(err: table?, record: runlog.Json?, version: string?)
function M.get(client, run, bytes, done)
  client:request('executions/get', {
    projectId = run.projectId,
    executionId = run.executionId,
    maxBytes = math.min(most, bytes),
  }, function(err, answer)
    if err then
      return done(err)
    end
    local record = json.at(answer, 'execution')
    mark(record, json.at(answer, 'cut'))
    done(nil, record, json.string(json.at(answer, 'version')))
  end, { tree = true })
end

---Reads more of what was left out at `pointer` into the record; what is read already is not asked for again.
---@param client runlog.Client
---@param run { projectId: string, executionId: string }
---@param record runlog.Json
---@param pointer string
---@param bytes integer
---@param done fun(err: table?, version: string?)
---@param upto? integer how much of it is wanted in the end; as much as there is room for otherwise
function M.more(client, run, record, pointer, bytes, done, upto)
  local node = M.at(record, pointer)
  local cut = node and node.cut
  if not cut or cut.asking then
    return done(nil)
  end
  cut.asking = true
  local params = { projectId = run.projectId, executionId = run.executionId, maxBytes = bytes, fields = { pointer } }
  local given = cut.given
  local last = math.min(cut.length or math.huge, upto or math.huge)
  if node.kind == 'string' then
    -- at least a byte of JSON a unit; where they take more, the daemon says how far it came
    params.range = { start = given, ['end'] = math.min(last, given + bytes) }
  elseif node.kind == 'array' then
    params.fields = {}
    -- so many as there should be room for; a piece without room has no value
    local each = 2 * cut.bytes / cut.length + 200
    local count = cut.alone and 1 or math.max(1, math.min(100, math.floor(bytes / each)))
    for i = given, math.min(last, given + count) - 1 do
      params.fields[#params.fields + 1] = ('%s/%d'):format(pointer, i)
    end
  else
    -- which members are missing nobody knows: all of it again, and more
    cut.asked = math.min(most, 4 * (cut.asked or bytes))
    params.maxBytes = cut.asked
  end
  client:request('executions/get', params, function(err, answer)
    cut.asking = nil
    if err then
      return done(err)
    end
    local version = json.string(json.at(answer, 'version'))
    if node.kind == 'string' then
      local piece = json.at(answer, 'fields', pointer)
      node.text = node.text .. (json.string(json.at(piece, 'value')) or '')
      cut.given = json.number(json.at(piece, 'range', 'end')) or cut.length
      if cut.given >= cut.length then
        node.cut = nil
      end
    elseif node.kind == 'array' then
      for i, field in ipairs(params.fields) do
        local piece = json.at(answer, 'fields', field)
        local value = json.at(piece, 'value')
        local truncated = json.at(piece, 'truncated')
        local short = truncated and truncated.text == 'true'
        if not value or (i > 1 and short) then
          cut.alone = true
          break -- no more room; it comes next
        end
        cut.alone = false
        node[given + i] = value
        cut.given = given + i
        mark(record, json.at(piece, 'cut'))
        local range = json.at(piece, 'range')
        if value.kind == 'string' and range and short then
          value.cut = {
            pointer = field,
            kind = 'string',
            given = json.number(json.at(range, 'end')),
            length = json.number(json.at(piece, 'length')),
            bytes = json.number(json.at(piece, 'sizeBytes')) or 0,
          }
        end
      end
      if cut.given >= cut.length then
        node.cut = nil
      end
    else
      local piece = json.at(answer, 'fields', pointer)
      local value = json.at(piece, 'value')
      if value then
        local asked = cut.asked
        for name in pairs(node) do
          node[name] = nil
        end
        for name, member in pairs(value) do
          node[name] = member
        end
        mark(record, json.at(piece, 'cut'))
        if node.cut then
          node.cut.asked = asked
        end
      end
    end
    done(nil, version)
  end, { tree = true })
end

---@param node runlog.Json
---@return integer how many of its units, elements or members were read
local function given(node)
  if node.cut then
    return node.cut.given
  elseif node.kind == 'string' then
    return format.utf16_of_byte(node.text, #node.text)
  end
  return node.kind == 'array' and #node or node.kind == 'object' and #node.keys or 0
end

---@param node runlog.Json?
---@return integer about how many bytes it takes as JSON
local function size(node)
  local bytes = 8
  if not node then
    return bytes
  elseif node.kind == 'array' then
    for _, element in ipairs(node) do
      bytes = bytes + size(element)
    end
  elseif node.kind == 'object' then
    for name, member in pairs(node.members) do
      bytes = bytes + #name + size(member)
    end
  elseif node.text then
    bytes = bytes + #node.text + select(2, node.text:gsub('[%c"\\]', ''))
  end
  return bytes
end

---@param old runlog.Json?
---@param new runlog.Json
---@param found { pointer: string, upto: integer }[] gets where less was read of the new one
local function behind(old, new, found)
  if not old or old.kind ~= new.kind then
    return found
  end
  local cut = new.cut
  if cut and not cut.stuck then
    local upto = math.min(given(old), cut.length or math.huge)
    if cut.given < upto then
      found[#found + 1] = { pointer = cut.pointer, upto = upto }
    end
  end
  if new.kind == 'array' then
    for i, element in ipairs(new) do
      behind(old[i], element, found)
    end
  elseif new.kind == 'object' then
    for _, name in ipairs(new.keys) do
      behind(old.members[name], new.members[name], found)
    end
  end
  return found
end

---Reads a record anew, and as much of each part of it as was read of `held()`. Without an error and a record it
---was saved between two pieces.
---@param client runlog.Client
---@param run { projectId: string, executionId: string }
---@param held fun(): runlog.Json? asked when it is needed, since more of it may come meanwhile
---@param bytes integer
---@param times integer how much more room than the held one takes there is, so that fewer pieces are needed
---@param done fun(err: table?, record: runlog.Json?, version: string?)
function M.again(client, run, held, bytes, times, done)
  M.get(client, run, times * math.max(bytes, size(held())), function(err, record, version)
    if err then
      return done(err)
    end
    local left = {}
    local function catch_up()
      if #left == 0 then
        left = behind(held(), record, left)
        if #left == 0 then
          return done(nil, record, version)
        end
      end
      local one = left[#left]
      local node = M.at(record, one.pointer)
      local cut = node and node.cut
      if not cut or cut.stuck or cut.given >= one.upto then
        left[#left] = nil
        return catch_up()
      end
      local before, alone = cut.given, cut.alone
      M.more(client, run, record, one.pointer, bytes, function(trouble, newer)
        if trouble or newer ~= version then
          return done(trouble)
        end
        cut = node.cut
        if cut and cut.given == before then
          -- the next element alone, or all of an object with more room, may still be had
          cut.stuck = not (node.kind == 'array' and not alone or cut.asked and cut.asked < most)
        end
        catch_up()
      end, one.upto)
    end
    catch_up()
  end)
end

-- ------------------------------------------------------------------------------------------------ as text

---@class runlog.Text
---@field lines runlog.RecordLine[]
local Text = {}
Text.__index = Text

---@param key string
---@param text string
---@param level integer
---@param more? table
function Text:add(key, text, level, more)
  local line = more or {}
  line.key, line.text, line.level = key, text, level
  if line.group then
    line.hl = { { 0, #text, line.group } }
  end
  self.lines[#self.lines + 1] = line
end

local units = { string = 'characters', array = 'elements', object = 'members' }

function Text:cut(key, node, level, indent)
  if not node.cut then
    return
  end
  local cut = node.cut
  local text = cut.length
      and ('… %s of %s %s are shown'):format(
        format.count(cut.given), format.count(cut.length), units[cut.kind] or ''
      )
    or ('… %s were left out'):format(format.bytes(cut.bytes))
  if not self.final then
    text = text .. '; <CR> loads more'
  end
  self:add(key .. ' cut', indent .. text, level, { cut = cut.pointer, group = 'RunlogHint' })
end

---@param key string
---@param node runlog.Json
function Text:json(key, node, level, indent, before, after)
  if node.kind == 'object' or node.kind == 'array' then
    local open, close = '{', '}'
    if node.kind == 'array' then
      open, close = '[', ']'
    end
    local count = node.kind == 'array' and #node or #node.keys
    if count == 0 and not node.cut then
      self:add(key, indent .. before .. open .. close .. after, level)
      return
    end
    self:add(key, indent .. before .. open, level)
    local deeper = indent .. '  '
    if node.kind == 'array' then
      for i, element in ipairs(node) do
        self:json(key .. '/' .. i, element, level, deeper, '', i < count and ',' or '')
      end
    else
      for i, name in ipairs(node.keys) do
        local head = format.visible(json.quote(name)) .. ': '
        self:json(key .. '/' .. name, node.members[name], level, deeper, head, i < count and ',' or '')
      end
    end
    self:cut(key, node, level, deeper)
    self:add(key .. ' end', indent .. close .. after, level)
    return
  end
  local text = node.kind == 'string' and format.visible(json.quote(node.text)) or node.text or 'null'
  self:add(key, indent .. before .. text .. after, level)
  self:cut(key, node, level, indent .. '  ')
end

---A value: texts as they are, everything else as JSON.
function Text:value(key, node, level, indent)
  if node.kind == 'string' then
    for i, line in ipairs(format.lines(node.text)) do
      self:add(key .. ' ' .. i, indent .. line, level)
    end
    self:cut(key, node, level, indent)
  else
    self:json(key, node, level, indent, '', '')
  end
end

---@param node runlog.Json?
local function said(node)
  return node and node.kind ~= 'null' and not (node.kind == 'string' and node.text == '' and not node.cut)
end

-- told in places of their own, where they are of this kind
local head = {
  id = 'string', projectId = 'string', name = 'string', error = 'any', input = 'any', output = 'any', steps = 'any',
}
local step_head = {
  id = 'string', nodeId = 'string', nodeType = 'string', name = 'string', status = 'string', startedAt = 'string',
  completedAt = 'string', duration = 'number', costUSD = 'number', tokenUsage = 'object', model = 'string',
  error = 'any', input = 'any', output = 'any',
}
-- told by the summary, where the daemon can make something of them
local summarized = {
  status = true, startedAt = true, completedAt = true, duration = true, tokenUsage = true, costUSD = true,
  retryCount = true, model = true,
}

---@param node runlog.Json
local function told(kinds, name, node)
  local kind = kinds[name]
  return kind == 'any' or kind ~= nil and (kind == node.kind and (kind ~= 'number' or json.number(node)) or not said(node))
end

---@param node runlog.Json?
local function tokens(node)
  local input, output = json.number(json.at(node, 'input')), json.number(json.at(node, 'output'))
  local parts = {}
  if input then
    parts[#parts + 1] = format.count(input) .. ' in'
  end
  if output then
    parts[#parts + 1] = format.count(output) .. ' out'
  end
  return #parts > 0 and table.concat(parts, ', ') or nil
end

function Text:section(key, title, level)
  self:add(key .. ' gap', '', level - 1)
  self:add(key .. ' title', title, level, { starts = true, group = 'RunlogHeading' })
end

function Text:step(i, step)
  local key = '/steps/' .. i
  local function text(name)
    return json.string(json.at(step, name))
  end
  local parts, hl, width = {}, {}, 0
  local function add(part, group)
    if part and part ~= '' then
      if #parts > 0 then
        width = width + 2
      end
      if group then
        hl[#hl + 1] = { width, width + #part, group }
      end
      parts[#parts + 1] = part
      width = width + #part
    end
  end
  add(('%3d'):format(i), 'RunlogHint')
  local status = text('status')
  add(status and format.pad(format.line(status), 9), format.status_group(status or ''))
  add(format.line(text('nodeId') or text('name') or text('id') or ''), 'RunlogProject')
  if text('name') and text('nodeId') then
    add(format.line(text('name')))
  end
  add(text('nodeType') and format.line(text('nodeType')), 'RunlogHint')
  add(format.duration(json.number(json.at(step, 'duration'))), 'RunlogDuration')
  add(format.cost(json.number(json.at(step, 'costUSD'))), 'RunlogCost')
  add(tokens(json.at(step, 'tokenUsage')), 'RunlogDuration')
  local trouble = text('error')
  add(trouble and format.shorten(format.line(trouble), 60), 'RunlogError')
  self:add(key, table.concat(parts, '  '), 2, { starts = true, step = i, hl = hl })
  if step.kind ~= 'object' then
    self:json(key .. ' value', step, 2, '      ', '', '')
    return
  end
  for _, date in ipairs({ 'startedAt', 'completedAt', 'model' }) do
    if text(date) then
      self:add(key .. ' ' .. date, ('      %s %s'):format(date, format.line(text(date))), 2, { group = 'RunlogHint' })
    end
  end
  for _, part in ipairs({ 'error', 'input', 'output' }) do
    local node = json.at(step, part)
    if said(node) then
      self:add(key .. '/' .. part .. ' title', '      ' .. part, 3, {
        starts = true,
        group = part == 'error' and 'RunlogError' or 'RunlogField',
      })
      self:value(key .. '/' .. part, node, 3, '        ')
    end
  end
  for _, name in ipairs(step.keys) do
    if not told(step_head, name, step.members[name]) then
      self:json(key .. '/' .. name, step.members[name], 2, '      ', format.visible(json.quote(name)) .. ': ', '')
    end
  end
  self:cut(key, step, 2, '      ')
end

---@param summary table? what lists say of the run
---@param record runlog.Json?
---@param status string
---@param final? boolean whether no more of it can be loaded
---@return runlog.RecordLine[]
function M.lines(summary, record, status, final)
  local self = setmetatable({ lines = {}, final = final }, Text)
  summary = summary or {}
  local title = format.line(summary.label or summary.id or '')
  self:add('label', title, 0, { group = 'RunlogHeading' })
  self:add('status', status, 0, { group = format.status_group(status) })
  local function field(name, value, file)
    if value and value ~= '' then
      local text = ('%-10s %s'):format(name, value)
      self:add('field ' .. name, text, 0, { hl = { { 0, #name, 'RunlogField' } }, file = file })
    end
  end
  field('Run', summary.id and format.line(summary.projectId .. '/' .. summary.id))
  field('Started', format.date(summary.startedAt))
  field('Ended', format.date(summary.completedAt))
  field('Duration', format.duration(summary.duration))
  field('Cost', format.cost(summary.costUSD))
  local usage = summary.tokenUsage or {}
  local used = {}
  for _, name in ipairs({ 'input', 'output', 'total' }) do
    if usage[name] then
      used[#used + 1] = format.count(usage[name]) .. ' ' .. ({ input = 'in', output = 'out', total = 'in all' })[name]
    end
  end
  field('Tokens', table.concat(used, ', '))
  field('Model', summary.model and format.line(summary.model))
  field('Retries', summary.retryCount and summary.retryCount > 0 and tostring(summary.retryCount) or nil)
  field('Pinned', summary.pinned and 'yes' or nil)
  field('Tags', summary.tags and format.line(table.concat(summary.tags, ', ')))
  for i, line in ipairs(summary.note and format.lines(summary.note) or {}) do
    local name = i == 1 and 'Note' or ''
    self:add('field Note ' .. i, ('%-10s %s'):format(name, line), 0, { hl = { { 0, #name, 'RunlogField' } } })
  end
  field('File', summary.sizeBytes and format.bytes(summary.sizeBytes))
  if not record then
    return self.lines
  end
  for _, part in ipairs({ 'error', 'input', 'output' }) do
    local node = json.at(record, part)
    if said(node) then
      self:section('/' .. part, part:sub(1, 1):upper() .. part:sub(2), 1)
      self:value('/' .. part, node, 1, '  ')
    end
  end
  local steps = json.at(record, 'steps')
  if steps and steps.kind == 'array' and (#steps > 0 or steps.cut) then
    local count = steps.cut and steps.cut.length or #steps
    self:section('/steps', ('Steps (%s)'):format(format.count(count)), 1)
    for i, step in ipairs(steps) do
      self:step(i, step)
    end
    self:cut('/steps', steps, 1, '     ')
  elseif steps and steps.kind ~= 'array' and said(steps) then
    self:section('/steps', 'Steps', 1)
    self:value('/steps', steps, 1, '  ')
  end
  local rest = vim.tbl_filter(function(name)
    local node = record.members[name]
    if summarized[name] then
      return summary[name] == nil and said(node)
    end
    return not told(head, name, node)
  end, record.keys)
  if #rest > 0 then
    self:section('rest', 'Other members', 1)
    for _, name in ipairs(rest) do
      self:json('/' .. name, record.members[name], 1, '  ', format.visible(json.quote(name)) .. ': ', '')
    end
  end
  self:cut('', record, 0, '')
  return self.lines
end

return M

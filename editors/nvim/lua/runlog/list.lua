-- The list of a root's runs. What is shown is what the daemon last listed, with the changes it told since laid
-- over; every change asks for the list again, twice a second at most, so the two never part for long. Nothing
-- is filtered, sorted or summed up here.
local Client = require('runlog.client')
local config = require('runlog.config')
local format = require('runlog.format')
local paint = require('runlog.paint')

local M = {
  -- how often a list with a filter is asked for again, in milliseconds: what passes `startedAt >= -1h` changes by itself
  passing_every = 30000,
}

-- how often a list is asked for again while changes come, and how often lines are written, in milliseconds
local refresh_every, paint_every = 500, 150
-- how much longer than its answer takes, and how long at most: the first answer may have waited for the index
local refresh_share, refresh_most = 5, 2000

---@class runlog.List
---@field buf integer
---@field client runlog.Client
---@field rows table[] summaries, in the daemon's order
---@field lines runlog.Line[] what is in the buffer
---@field items table[] what each line is about
---@field asked integer how often the list was asked for
---@field paints integer how often lines were written
local List = {}
List.__index = List

-- what the names of the lists' buffers begin with; the folder of projects follows
local scheme = 'runlog://'

---@type table<integer, runlog.List>
local lists = {}

local function key_of(summary)
  return summary.projectId .. '/' .. summary.id
end

---@return runlog.List?
function M.current()
  return lists[vim.api.nvim_get_current_buf()]
end

-- ---------------------------------------------------------------------------------------------- what is asked

---@return table params of what the list is about
function List:about()
  return { status = self.status, where = self.where, timezone = require('runlog.zone').name() }
end

---@return boolean whether the newest come first, so that a new run belongs on top
function List:newest_first()
  return self.search == nil
end

---Asks for the list soon.
function List:refresh()
  if self.closed then
    return
  end
  if self.loading then
    self.again = true
    return
  end
  if self.refresh_timer then
    return
  end
  local wait = 0
  if self.asked_at then
    local pause = math.min(refresh_most, math.max(refresh_every, refresh_share * self.took))
    wait = math.max(50, self.asked_at + pause - vim.uv.now())
  end
  self.refresh_timer = vim.defer_fn(function()
    self.refresh_timer = nil
    self:load()
  end, wait)
end

---How far down somebody looks, in rows.
function List:needed()
  local lowest = 0
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    lowest = math.max(lowest, vim.fn.line('.', win), vim.fn.line('w$', win))
  end
  local item = self.items[math.min(lowest, #self.items)]
  return item and item.index or 0
end

---The rows that a cursor or a window's first line is on.
function List:anchors()
  local keys = {}
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    for _, lnum in ipairs({ vim.fn.line('.', win), vim.fn.line('w0', win) }) do
      local item = self.items[lnum]
      if item and item.row then
        keys[key_of(item.row)] = true
      end
    end
  end
  return keys
end

function List:load()
  if self.closed then
    return
  end
  self.loading = true
  self.again = false
  local began = vim.uv.now()
  self.asked_at = began
  self.asked = self.asked + 1
  local question = self.question
  local rows, matches, seen = {}, {}, {}
  local before = self.total
  local wanted, clock

  local function finish(err, total, next_cursor, complete)
    if self.closed or question ~= self.question then
      self.loading = false
      self:refresh()
      return
    end
    self.took = vim.uv.now() - began
    self.loading = false
    if err then
      self.problem = err.message
      self.refused = err.data and err.data.kind == 'invalid-params'
    else
      self.problem = nil
      self.rows, self.matches = rows, matches
      self.total, self.more, self.complete = total, next_cursor ~= nil, complete
      self.loaded, self.trouble = true, nil
      if not self.subscription then
        self:subscribe(clock)
      end
      self:count_problems()
      require('runlog.today').look()
    end
    self:paint_now()
    if self.again or (not err and complete == false) then
      self:refresh()
    end
    M.cancel(self.passing_timer)
    self.passing_timer = self.where and vim.defer_fn(function()
      if #vim.fn.win_findbuf(self.buf) > 0 then
        self:refresh()
      end
    end, M.passing_every)
  end

  local function page(cursor)
    local params = self:about()
    params.cursor = cursor
    local rest = wanted and wanted - #rows or math.max(self.pages * config.page, self:needed())
    params.limit = math.min(1000, rest > 0 and rest or config.page)
    local method = 'executions/list'
    if self.search then
      method = 'executions/search'
      params.query = self.search
    end
    self.client:request(method, params, function(err, answer)
      if self.closed or question ~= self.question then
        return finish()
      elseif err and cursor and err.code == -32602 then
        return finish(nil, self.total, nil, false) -- the cursor was another daemon's: once more from the top
      elseif err then
        return finish(err)
      end
      clock = clock or answer.clock
      for _, hit in ipairs(answer.executions or answer.hits) do
        local row = hit.summary or hit
        local key = key_of(row)
        if not seen[key] then
          seen[key] = true
          rows[#rows + 1] = row
          matches[key] = hit.matches
        end
      end
      if not wanted then
        -- what has come above pushes down what somebody looks at
        local come = math.max(0, (answer.total or 0) - (before or answer.total or 0))
        wanted = math.max(self.pages * config.page, self:needed() + come)
      end
      local lost = false
      for key in pairs(self:anchors()) do
        lost = lost or not (seen[key] or self.gone[key])
      end
      if answer.nextCursor and (#rows < wanted or (lost and #rows < wanted + 1000)) then
        return page(answer.nextCursor)
      end
      finish(nil, answer.total, answer.nextCursor, answer.complete)
    end)
  end
  page()
end

function List:subscribe(clock)
  local params = self:about()
  params.since = clock
  self.subscription = self.client:subscribe(params, function(change)
    self:told(change)
  end)
end

---Asks about something else from now on.
function List:ask()
  self.question = self.question + 1
  self.asked_at = nil
  if self.subscription then
    self.subscription.close()
    self.subscription = nil
  end
  self.pages, self.total, self.loaded, self.rows, self.gone = 1, nil, false, {}, {}
  M.cancel(self.refresh_timer)
  self.refresh_timer = nil
  self:paint_now()
  self:refresh()
end

-- ------------------------------------------------------------------------------------------------ what is told

function List:told(change)
  if change.kind == 'current' then
    return
  elseif change.kind == 'saved' then
    local key = key_of(change.summary)
    self.gone[key] = nil
    local index = self.places[key]
    if index then
      self.rows[index] = change.summary
    elseif self.loaded and change.created and self:newest_first() then
      local first = self.rows[1]
      if not first or (change.summary.startedAt or '') >= (first.startedAt or '') then
        table.insert(self.rows, 1, change.summary)
        self:index()
      end
    end
  elseif change.kind == 'deleted' or change.kind == 'left' then
    local key = change.projectId .. '/' .. change.executionId
    local index = self.places[key]
    if index then
      self.gone[key] = true
      table.remove(self.rows, index)
      self:index()
    end
  end
  self:paint_soon()
  self:refresh()
end

function List:count_problems()
  if not self.client:can('server/status') then
    return
  end
  self.client:request('server/status', {}, function(err, status)
    if not err and not self.closed and self.problem_count ~= status.problems then
      self.problem_count = status.problems
      self:draw_winbar()
    end
  end)
end

-- ---------------------------------------------------------------------------------------------- what is shown

function List:index()
  self.places = {}
  for i, row in ipairs(self.rows) do
    self.places[key_of(row)] = i
  end
end

---@return string status as it is shown
function M.status(summary)
  local stale = format.seconds(summary.staleAt)
  if stale and stale <= os.time() then
    return 'stale'
  end
  return format.line(summary.status or '?')
end

---@param summary table
---@return number? seconds since 1970 when it turns stale, if it has not yet
function M.turns_stale(summary)
  local stale = format.seconds(summary.staleAt)
  return stale and stale > os.time() and stale or nil
end

---@param timer uv.uv_timer_t? one that is only stopped stays for ever, with all that it holds
function M.cancel(timer)
  if timer and not timer:is_closing() then
    timer:close()
  end
end

---@param stale number? seconds since 1970
---@param fn fun() called when it is later than that
---@return uv.uv_timer_t?
function M.when_stale(stale, fn)
  if stale then
    return require('runlog.clock').after(stale, fn)
  end
end

---@param summary table
---@param projects integer width of the projects' column
---@param chosen boolean
---@param width integer of the window, in cells: so that the name is in sight, a narrow one has no duration, then no time
---and no project
---@return runlog.Line
local function row_line(summary, projects, chosen, width)
  local text, hl = '', {}
  local function add(part, group)
    local from = #text
    text = text .. part
    if group and part ~= '' then
      hl[#hl + 1] = { from, #text, group }
    end
  end
  local status = M.status(summary)
  add(chosen and '>' or ' ', 'RunlogMark')
  add(summary.pinned and '*' or ' ', 'RunlogMark')
  add(format.pad(format.shorten(status, 10), 10), format.status_group(status))
  if width >= 60 then
    add(' ' .. (format.date(summary.startedAt, '%Y-%m-%d %H:%M') or ('%16s'):format('')), 'RunlogTime')
  end
  if width >= 80 then
    add((' %10s'):format(format.duration(summary.duration) or ''), 'RunlogDuration')
  end
  add((' %12s  '):format(format.cost(summary.costUSD) or ''), 'RunlogCost')
  if projects > 0 and width >= 60 then
    add(format.pad(format.shorten(format.line(summary.projectId), projects), projects) .. '  ', 'RunlogProject')
  end
  add(format.line(summary.label or summary.id))
  for _, tag in ipairs(summary.tags or {}) do
    add(' ')
    add('#' .. format.line(tag), 'RunlogTag')
  end
  if summary.note then
    add(' ')
    local more = summary.note:find('[\r\n]') and ' …' or ''
    add('“' .. format.shorten(format.line(summary.note) .. more, 60) .. '”', 'RunlogHint')
  end
  if summary.error then
    add('  ')
    add(format.shorten(format.line(summary.error), 80), 'RunlogError')
  end
  return { key = key_of(summary), text = text, hl = hl }
end

---@return runlog.Line[] of a run that was found, what was found in it
local function match_lines(summary, matches)
  local lines = {}
  for i, match in ipairs(matches or {}) do
    local head = ('              %s: '):format(format.line(match.path))
    local text, hl = head, { { 0, #head, 'RunlogHint' } }
    local at = 0
    local function add(to, group)
      local part = match.snippet:sub(at + 1, to):gsub('[\r\n\t]', ' ')
      part = format.visible(part)
      if group then
        hl[#hl + 1] = { #text, #text + #part, group }
      end
      text = text .. part
      at = to
    end
    for _, range in ipairs(match.ranges) do
      add(format.byte_of_utf16(match.snippet, range.start))
      add(format.byte_of_utf16(match.snippet, range['end']), 'RunlogMatch')
    end
    add(#match.snippet)
    lines[#lines + 1] = { key = key_of(summary) .. '\n' .. i, text = text, hl = hl }
  end
  return lines
end

---@param text string
---@param group? string
local function message(lines, items, text, group)
  for _, line in ipairs(vim.split(text, '\n')) do
    line = format.visible(line)
    lines[#lines + 1] = { key = '\n' .. #lines, text = line, hl = group and { { 0, #line, group } } or nil }
    items[#items + 1] = {}
  end
end

function List:empty(lines, items)
  local function say(text, group)
    message(lines, items, text, group)
  end
  local client = self.client
  if self.trouble and self.trouble ~= client.trouble then
    say(self.trouble, 'RunlogError')
  end
  if client.state == 'missing' or client.state == 'failed' then
    say(client.trouble, 'RunlogError')
    say('')
    if client.state == 'missing' then
      say("Install runlog, or name it: require('runlog').setup({ command = '/path/to/runlog' })")
    end
    say('r tries again, R chooses another folder; :checkhealth runlog tells more.', 'RunlogHint')
  elseif self.problem then
    say(self.problem, 'RunlogError')
    say('')
    local change = self.search and 'S changes the search' or 'i changes the filter'
    say(self.refused and change .. ', x shows all.' or 'r tries again.', 'RunlogHint')
  elseif not self.loaded then
    say('Loading…', 'RunlogHint')
  elseif self.search then
    say(('Nothing has %s.'):format(self.search))
    if self.complete == false then
      say('The text index is still being built; the list follows it.', 'RunlogHint')
    end
    say('S searches for something else, x shows all runs.', 'RunlogHint')
  elseif self.where or self.status then
    say('No run passes the filter.')
    say('i changes the filter, s the status, x drops both.', 'RunlogHint')
  elseif client.server and vim.fn.isdirectory(client.server.root.path) == 0 then
    say('There is no folder of runs here. Looked for:')
    for _, place in ipairs(client.root.tried or { client.root.path }) do
      say('  ' .. place)
    end
    say('')
    say(('Runs that are saved to %s appear by themselves; R chooses another folder.'):format(client.root.path),
      'RunlogHint')
  else
    say('No runs yet. The first one that is saved appears here by itself.')
    say('R chooses another folder.', 'RunlogHint')
  end
end

---@return integer width of the narrowest window that shows it
function List:narrowest()
  local width = vim.o.columns
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    width = math.min(width, vim.api.nvim_win_get_width(win))
  end
  return width
end

function List:paint_now()
  if self.closed or not vim.api.nvim_buf_is_loaded(self.buf) then
    return
  end
  self:index()
  if paint.selecting(self.buf, function() self:paint_now() end) then
    return
  end
  self.painted_at = vim.uv.now()
  local lines, items = {}, {}
  local projects, several = 0, false
  for _, row in ipairs(self.rows) do
    several = several or row.projectId ~= self.rows[1].projectId
    projects = math.max(projects, math.min(20, vim.fn.strdisplaywidth(format.line(row.projectId))))
  end
  self.width = self:narrowest()
  local turns_stale
  for i, row in ipairs(self.rows) do
    local key = key_of(row)
    lines[#lines + 1] = row_line(row, several and projects or 0, self.chosen == key, self.width)
    items[#items + 1] = { row = row, index = i }
    for _, line in ipairs(match_lines(row, self.matches[key])) do
      lines[#lines + 1] = line
      items[#items + 1] = { row = row, index = i }
    end
    local stale = M.turns_stale(row)
    turns_stale = stale and math.min(turns_stale or stale, stale) or turns_stale
  end
  if #lines == 0 then
    self:empty(lines, items)
  elseif self.more then
    local rest = self.total and ('%s more'):format(format.count(math.max(0, self.total - #self.rows))) or 'More'
    local text = ('  %s; <CR> or + loads them'):format(rest)
    lines[#lines + 1] = { key = '\nmore', text = text, hl = { { 0, #text, 'RunlogHint' } } }
    items[#items + 1] = { more = true }
  end
  if paint.paint(self.buf, self.lines, lines) then
    self.paints = self.paints + 1
  end
  self.lines, self.items = lines, items
  self:draw_winbar()
  M.cancel(self.stale_timer)
  self.stale_timer = M.when_stale(turns_stale, function()
    self:paint_now()
  end)
end

function List:paint_soon()
  if self.paint_timer then
    return
  end
  local wait = math.max(0, (self.painted_at or 0) + paint_every - vim.uv.now())
  self.paint_timer = vim.defer_fn(function()
    self.paint_timer = nil
    self:paint_now()
  end, wait)
end

function List:draw_winbar()
  local function plain(text)
    return (format.line(text):gsub('%%', '%%%%'))
  end
  local parts = { '%#RunlogHeading#' .. plain(vim.fn.fnamemodify(self.client.root.path, ':~')) .. '%*' }
  local function add(text, group)
    parts[#parts + 1] = group and ('%%#%s#%s%%*'):format(group, text) or text
  end
  if self.total then
    add(format.count(self.total) .. (self.total == 1 and ' run' or ' runs'))
  end
  if self.status then
    add('status ' .. plain(self.status), 'RunlogField')
  end
  if self.where then
    add('filter ' .. plain(self.where), 'RunlogField')
  end
  if self.search then
    add('search ' .. plain(self.search), 'RunlogField')
  end
  if self.problem and #self.rows > 0 then
    add(plain(self.problem), 'RunlogError')
  elseif self.client.state == 'waiting' then
    add('reconnecting…', 'RunlogPaused')
  elseif (self.client.state == 'missing' or self.client.state == 'failed') and #self.rows > 0 then
    add('not live; r tries again', 'RunlogError')
  elseif self.complete == false then
    add('still reading…', 'RunlogPaused')
  end
  if (self.problem_count or 0) > 0 then
    add(('%s %s (P)'):format(format.count(self.problem_count), self.problem_count == 1 and 'problem' or 'problems'),
      'RunlogPaused')
  end
  local left = table.concat(parts, '  ')
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    local above = vim.fn.line('w0', win) - 1
    local right = above > 0 and ('↑ %d above  '):format(above) or ''
    vim.api.nvim_set_option_value('winbar', ' ' .. left .. '%=' .. right .. '%#RunlogHint#g? help ', {
      scope = 'local',
      win = win,
    })
  end
end

-- ---------------------------------------------------------------------------------------------- what one does

---@return table? summary of the run under the cursor
function List:row()
  local item = self.items[vim.fn.line('.')]
  return item and item.row
end

---@param first integer
---@param last integer
---@return table[] summaries of the runs on these lines
function List:rows_between(first, last)
  local rows, seen = {}, {}
  for lnum = first, last do
    local item = self.items[lnum]
    if item and item.row and not seen[item.index] then
      seen[item.index] = true
      rows[#rows + 1] = item.row
    end
  end
  return rows
end

---@param count integer
---@return table[] summaries of so many runs, from the one under the cursor on, as they are shown: what was told since
---they were painted has moved the rows
function List:rows_from_cursor(count)
  return vim.list_slice(self:rows_between(vim.fn.line('.'), #self.items), 1, count)
end

function List:load_more()
  if self.more then
    self.pages = math.ceil(#self.rows / config.page) + 1
    self.asked_at = nil
    self:refresh()
  end
end

---@param command? string
function List:open_run(command)
  local item = self.items[vim.fn.line('.')]
  if item and item.more then
    self:load_more()
  elseif item and item.row then
    require('runlog.run').open(self.client, item.row.projectId, item.row.id, command)
  end
end

function List:retry()
  if self.client.state == 'missing' or self.client.state == 'failed' then
    require('runlog').open(self.client.root.folder, self.client.root.chosen)
    self.client:retry()
  end
  self.problem = nil
  self.asked_at = nil
  self:refresh()
end

function List:set_where(where)
  self.where = where ~= '' and where or nil
  self:ask()
end

function List:choose_status()
  local names = { 'all', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled' }
  vim.ui.select(names, { prompt = 'Status' }, function(status)
    if status then
      self.status = status ~= 'all' and status or nil
      self:ask()
    end
  end)
end

function List:ask_search()
  vim.ui.input({ prompt = 'Search: ', default = self.search }, function(query)
    if query then
      self.search = vim.trim(query) ~= '' and query or nil
      self:ask()
    end
  end)
end

function List:drop_filters()
  self.where, self.status, self.search = nil, nil, nil
  self:ask()
end

function List:compare()
  local row = self:row()
  if not row then
    return
  end
  local key = key_of(row)
  if not self.chosen then
    self.chosen, self.chosen_row = key, row
    vim.notify('c on another run compares it with this one; c here again takes it back.')
  elseif self.chosen == key then
    self.chosen = nil
  else
    local other = self.chosen_row
    self.chosen = nil
    require('runlog.compare').open(self.client, other, row)
  end
  self:paint_now()
end

-- ------------------------------------------------------------------------------------------------- the buffer

local keys = {
  { 'n', '<CR>', 'open the run, or load more', function(list) list:open_run() end },
  { 'n', 'o', 'open the run in a split', function(list) list:open_run('split') end },
  { 'n', 'gf', "open the run's file", function(list)
    local row = list:row()
    if row then
      require('runlog.actions').open_file(list.client, row)
    end
  end },
  { 'n', 'i', 'filter', function(list) require('runlog.filter').edit(list) end },
  { 'n', 's', 'only one status', function(list) list:choose_status() end },
  { 'n', 'S', 'search the contents', function(list) list:ask_search() end },
  { 'n', 'x', 'show all again', function(list) list:drop_filters() end },
  { 'n', '+', 'load more', function(list) list:load_more() end },
  { 'n', 'c', 'compare: choose a run, then another', function(list) list:compare() end },
  { 'n', 'dd', 'delete the run, or as many as the count says', function(list)
    require('runlog.actions').delete(list.client, list:rows_from_cursor(vim.v.count1))
  end },
  { 'x', 'd', 'delete the selected runs', function(list)
    local first, last = vim.fn.line('v'), vim.fn.line('.')
    local rows = list:rows_between(math.min(first, last), math.max(first, last))
    vim.api.nvim_feedkeys(vim.keycode('<Esc>'), 'nx', false)
    require('runlog.actions').delete(list.client, rows)
  end },
  { 'n', 'u', 'undo the last deletion', function(list) require('runlog.actions').undo(list.client) end },
  { 'n', 'p', 'pin or unpin', function(list) require('runlog.actions').pin(list.client, list:row()) end },
  { 'n', 'A', 'tags', function(list) require('runlog.actions').tags(list.client, list:row()) end },
  { 'n', 'a', 'note', function(list) require('runlog.actions').note(list.client, list:row()) end },
  { 'n', 'P', 'list files with problems', function(list) require('runlog.problems').open(list.client) end },
  { 'n', 'r', 'ask again', function(list) list:retry() end },
  { 'n', 'R', 'choose another folder', function() require('runlog').choose() end },
  { 'n', 'q', 'close', function() require('runlog.actions').close() end },
  { 'n', 'g?', 'this help', function() require('runlog.help').show('runlog-list', M.keys) end },
}
M.keys = keys

---Shows a buffer in the current window; says so where that may not show another one.
---@param buf integer
---@return boolean whether it does
function M.show(buf)
  local ok, trouble = pcall(vim.api.nvim_win_set_buf, 0, buf)
  if not ok then
    -- an error would be thrown by nvim_win_call()
    vim.notify('runlog: ' .. trouble:gsub('^.*Vim:', ''), vim.log.levels.WARN)
  end
  return ok
end

---@param buf integer of a list that is unloaded, as by `:bdelete`: it has lost its keys and options
local function drop(buf)
  if vim.api.nvim_buf_is_valid(buf) and not vim.api.nvim_buf_is_loaded(buf) then
    vim.api.nvim_buf_delete(buf, { force = true })
  end
end

---The list of a root, in the current window.
---@param root runlog.Root
---@param trouble? string why nobody knows whether it is that one
---@param again? integer buffer that is to be the list, as it has its name
function M.open(root, trouble, again)
  -- not by its name: bufnr() takes a pattern, in which braces are alternatives
  for _, known in ipairs(vim.tbl_keys(lists)) do
    drop(known)
    local list = lists[known]
    if list and list.client.root.path == root.path then
      list.trouble = trouble
      list:paint_now()
      M.show(known)
      return
    end
  end
  local buf = again or vim.api.nvim_create_buf(false, true)
  pcall(vim.api.nvim_buf_set_name, buf, scheme .. root.path)
  vim.bo[buf].buflisted = false
  vim.bo[buf].buftype = 'nofile'
  vim.bo[buf].bufhidden = 'hide'
  vim.bo[buf].swapfile = false
  vim.bo[buf].undolevels = -1
  vim.bo[buf].modifiable = false
  if not M.show(buf) then
    vim.api.nvim_buf_delete(buf, { force = true })
    return
  end
  local list = setmetatable({
    buf = buf,
    client = Client.of(root),
    rows = {},
    lines = {},
    items = {},
    matches = {},
    places = {},
    gone = {},
    pages = 1,
    question = 1,
    took = 0,
    asked = 0,
    paints = 0,
    loaded = false,
    trouble = trouble,
  }, List)
  lists[buf] = list
  for _, key in ipairs(keys) do
    vim.keymap.set(key[1], key[2], function()
      key[4](list)
    end, { buffer = buf, nowait = key[2] ~= 'dd', desc = 'runlog: ' .. key[3] })
  end
  local unwatch = list.client:watch(function()
    if list.client.state == 'ready' then
      list:refresh()
    end
    list:paint_now()
  end)
  local group = vim.api.nvim_create_augroup('runlog.list.' .. buf, {})
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = group,
    buffer = buf,
    callback = function()
      list.closed = true
      lists[buf] = nil
      unwatch()
      if list.subscription then
        list.subscription.close()
      end
      for _, timer in ipairs({ 'refresh_timer', 'paint_timer', 'stale_timer', 'passing_timer' }) do
        M.cancel(list[timer])
      end
      list.client:release()
      vim.api.nvim_del_augroup_by_id(group)
    end,
  })
  -- also by :edit, which loads it again
  vim.api.nvim_create_autocmd('BufUnload', {
    group = group,
    buffer = buf,
    callback = vim.schedule_wrap(function()
      drop(buf)
    end),
  })
  -- :edit empties it
  vim.api.nvim_create_autocmd('BufReadCmd', {
    group = group,
    buffer = buf,
    callback = function()
      list.lines = {}
      list:paint_now()
      list:refresh()
    end,
  })
  vim.api.nvim_create_autocmd('BufWinEnter', {
    group = group,
    buffer = buf,
    callback = function()
      M.dress()
      list:draw_winbar()
      list:count_problems()
      if list.where then
        list:refresh()
      end
    end,
  })
  vim.api.nvim_create_autocmd('WinScrolled', {
    group = group,
    callback = function()
      if not vim.api.nvim_buf_is_valid(buf) then
        return
      elseif list:narrowest() ~= list.width then
        list:paint_now()
      else
        list:draw_winbar()
      end
    end,
  })
  M.dress()
  vim.bo[buf].filetype = 'runlog'
  list:paint_now()
  list.client:retain()
  list:refresh()
end

---Makes a list of what has the name of one and is none, in the current window: a session knows no more of it.
function M.open_again()
  local buf = vim.api.nvim_get_current_buf()
  local path = vim.api.nvim_buf_get_name(buf):match('^' .. scheme .. '(.*)')
  -- a run is called after its list
  if path and not lists[buf] and vim.fn.isdirectory(path) == 1 then
    M.open({ folder = path, chosen = true, path = path, given = true }, nil, buf)
  end
end

---How a window looks that shows lists and runs.
function M.dress()
  for option, value in pairs({
    wrap = false,
    number = false,
    relativenumber = false,
    signcolumn = 'no',
    foldcolumn = '0',
    list = false,
    spell = false,
    cursorline = true,
  }) do
    vim.api.nvim_set_option_value(option, value, { scope = 'local', win = 0 })
  end
end

---@return runlog.List?
function M.of(buf)
  return lists[buf]
end

return M

-- One run as a document, with a fold for each part and each step; large texts are read piece by piece. It follows
-- the run: what is saved meanwhile is shown.
local config = require('runlog.config')
local format = require('runlog.format')
local list_view = require('runlog.list')
local paint = require('runlog.paint')
local record = require('runlog.record')

local M = {}

-- how often a run that is being recorded is read again, in milliseconds; how much longer than reading it takes,
-- and how long at most
local reload_every, reload_share, reload_most = 500, 5, 2000

---@class runlog.Run
local Run = {}
Run.__index = Run

---@type table<integer, runlog.Run>
local runs = {}

function Run:paint()
  if self.closed or paint.selecting(self.buf, function() self:paint() end) then
    return
  end
  local status = self.summary and list_view.status(self.summary) or ''
  local lines
  if self.problem and not self.record then
    lines = {
      { key = '\nproblem', text = format.line(self.problem), level = 0, hl = {} },
      { key = '\nhint', text = 'r tries again, q closes.', level = 0 },
    }
    lines[1].hl = { { 0, #lines[1].text, 'RunlogError' } }
  elseif not self.summary then
    lines = { { key = '\nloading', text = 'Loading…', level = 0 } }
  else
    lines = record.lines(self.summary, self.record, status)
  end
  local old = self.lines
  self.lines = lines
  paint.paint(self.buf, old, lines)
  self:fold_new(old)
  self:draw_winbar()
  list_view.cancel(self.stale_timer)
  self.stale_timer = list_view.when_stale(self.summary and list_view.turns_stale(self.summary), function()
    self:paint()
  end)
end

---Closes the folds of steps that were not there: once one was opened, others come open.
---@param old runlog.RecordLine[]
function Run:fold_new(old)
  local known = {}
  for _, line in ipairs(old) do
    known[line.key] = true
  end
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    if vim.wo[win].foldlevel < 2 then
      vim.api.nvim_win_call(win, function()
        for i, line in ipairs(self.lines) do
          if line.step and not known[line.key] and vim.fn.foldclosed(i) == -1 and vim.fn.foldlevel(i) > 1 then
            vim.cmd(i .. 'foldclose')
          end
        end
      end)
    end
  end
end

function Run:draw_winbar()
  local text = format.line(('%s/%s'):format(self.run.projectId, self.run.executionId)):gsub('%%', '%%%%')
  if self.gone then
    local ours = require('runlog.actions').undoes(self.client, self.run.projectId, self.run.executionId)
    text = text .. '  %#RunlogError#' .. (ours and 'deleted%*  u has it back' or 'it is not there any more%*')
  elseif self.problem and self.record then
    text = text .. '  %#RunlogError#' .. format.line(self.problem):gsub('%%', '%%%%') .. '%*'
  elseif self.client.state ~= 'ready' then
    text = text .. '  %#RunlogPaused#not live%*'
  end
  for _, win in ipairs(vim.fn.win_findbuf(self.buf)) do
    vim.api.nvim_set_option_value('winbar', ' ' .. text .. '%=%#RunlogHint#g? help ', { scope = 'local', win = win })
  end
end

---Reads summary and record.
function Run:load()
  if self.closed then
    return
  end
  local params = require('runlog.actions').naming(self.run.projectId, self.run.executionId)
  self.client:request('executions/list', params, function(err, answer)
    if self.closed then
      return
    elseif err then
      self.problem = err.message
      return self:paint()
    end
    if not self.subscription then
      self.subscription = self.client:subscribe({
        projectId = self.run.projectId,
        where = params.where,
        since = answer.clock,
      }, function(change)
        self:told(change)
      end)
    end
    local summary = answer.executions[1]
    if summary then
      self.summary, self.gone = summary, false
    elseif self.record then
      self.gone = true
      return self:paint()
    end
    self:read()
  end)
end

---Reads the record, as far as it was read before.
function Run:read()
  if self.reading then
    self.again = true
    return
  end
  self.reading, self.again = true, false
  local began = vim.uv.now()
  local function held()
    return self.record
  end
  record.again(self.client, self.run, held, config.piece, self.room, function(err, read, version)
    self.reading = false
    self.took = vim.uv.now() - began
    if self.closed then
      return
    end
    if err then
      self.problem = err.message
    elseif read then
      self.problem, self.record, self.version, self.room = nil, read, version, 1
      self.summary = self.summary or { id = self.run.executionId, projectId = self.run.projectId }
    else
      self.room = 4 * self.room
      self.again = true
    end
    if self.again then
      self:read_soon()
    end
    self:paint()
  end)
end

function Run:read_soon()
  if not self.reload_timer then
    self.reload_timer = vim.defer_fn(function()
      self.reload_timer = nil
      self:read()
    end, math.min(reload_most, math.max(reload_every, reload_share * self.took)))
  end
end

function Run:told(change)
  if change.kind == 'saved' then
    self.summary, self.gone = change.summary, false
    if change.summary.version ~= self.version or self.problem then
      self:read_soon()
    end
    self:paint()
  elseif change.kind == 'deleted' or change.kind == 'left' then
    -- also told of others of the project
    if change.executionId == self.run.executionId then
      self.gone = true
      self:draw_winbar()
    end
  elseif change.kind == 'resync' then
    self:load()
  end
end

---Loads what was left out at `pointer`.
---@param pointer string
function Run:more(pointer)
  local read = self.record
  record.more(self.client, self.run, read, pointer, config.piece, function(err, version)
    if err then
      vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
    elseif self.record ~= read then
      self:more(pointer) -- it was read anew meanwhile
    elseif version and version ~= self.version then
      self:read() -- it was saved meanwhile, and the pieces would not fit
    else
      self:paint()
    end
  end)
end

---Loads what was left out, or opens and closes a fold.
function Run:enter()
  local line = self.lines[vim.fn.line('.')]
  if line and line.cut then
    self:more(line.cut)
  elseif line and line.level > 0 then
    vim.cmd('silent! normal! za')
  end
end

---@param by integer
function Run:go_step(by)
  local lnum = vim.fn.line('.') + by
  while self.lines[lnum] do
    if self.lines[lnum].step then
      vim.cmd.normal({ lnum .. 'G', bang = true })
      return
    end
    lnum = lnum + by
  end
end

local function with_summary(action)
  return function(run)
    if run.summary then
      require('runlog.actions')[action](run.client, run.summary)
    end
  end
end

local keys = {
  { 'n', '<CR>', 'load what was left out, or toggle the fold', function(run) run:enter() end },
  { 'n', ']]', 'next step', function(run) run:go_step(1) end },
  { 'n', '[[', 'previous step', function(run) run:go_step(-1) end },
  { 'n', 'gf', 'open its file', with_summary('open_file') },
  { 'n', 'dd', 'delete it', function(run)
    if run.summary then
      require('runlog.actions').delete(run.client, { run.summary })
    end
  end },
  { 'n', 'u', 'undo the last deletion', function(run) require('runlog.actions').undo(run.client) end },
  { 'n', 'p', 'pin or unpin', with_summary('pin') },
  { 'n', 'A', 'tags', with_summary('tags') },
  { 'n', 'a', 'note', with_summary('note') },
  { 'n', 'r', 'read it again', function(run)
    run.client:retry()
    run:load()
  end },
  { 'n', 'q', 'close', function() require('runlog.actions').close() end },
  { 'n', 'g?', 'this help', function() require('runlog.help').show('runlog-run', M.keys) end },
}
M.keys = keys

---For 'foldexpr'.
function M.fold()
  local run = runs[vim.api.nvim_get_current_buf()]
  local line = run and run.lines[vim.v.lnum]
  if not line then
    return 0
  end
  return line.starts and '>' .. line.level or line.level
end

local function dress()
  list_view.dress()
  for option, value in pairs({
    wrap = true,
    linebreak = true,
    breakindent = true,
    foldmethod = 'expr',
    foldexpr = "v:lua.require'runlog.run'.fold()",
    foldtext = '',
    fillchars = 'fold: ',
    foldenable = true,
    foldlevel = 1,
  }) do
    vim.api.nvim_set_option_value(option, value, { scope = 'local', win = 0 })
  end
end

---@param client runlog.Client
---@param project string
---@param id string
---@param command? string 'split'
function M.open(client, project, id, command)
  if command then
    vim.cmd(command)
  end
  local name = ('runlog://%s/%s/%s'):format(client.root.path, project, id)
  for buf, run in pairs(runs) do
    if run.name == name then
      list_view.show(buf)
      return
    end
  end
  local buf = vim.api.nvim_create_buf(false, true)
  pcall(vim.api.nvim_buf_set_name, buf, name)
  vim.bo[buf].buftype = 'nofile'
  vim.bo[buf].bufhidden = 'wipe'
  vim.bo[buf].swapfile = false
  vim.bo[buf].undolevels = -1
  vim.bo[buf].modifiable = false
  if not list_view.show(buf) then
    vim.api.nvim_buf_delete(buf, { force = true })
    return
  end
  local run = setmetatable({
    buf = buf,
    name = name,
    client = client,
    run = { projectId = project, executionId = id },
    lines = {},
    room = 1,
    took = 0,
  }, Run)
  runs[buf] = run
  for _, key in ipairs(keys) do
    vim.keymap.set(key[1], key[2], function()
      key[4](run)
    end, { buffer = buf, nowait = #key[2] == 1, desc = 'runlog: ' .. key[3] })
  end
  local unwatch = client:watch(function()
    run:draw_winbar()
  end)
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buf,
    callback = function()
      run.closed = true
      runs[buf] = nil
      unwatch()
      if run.subscription then
        run.subscription.close()
      end
      for _, timer in ipairs({ 'reload_timer', 'stale_timer' }) do
        list_view.cancel(run[timer])
      end
      client:release()
    end,
  })
  -- :edit empties it
  vim.api.nvim_create_autocmd('BufReadCmd', {
    buffer = buf,
    callback = function()
      run.lines = {}
      run:paint()
    end,
  })
  vim.api.nvim_create_autocmd('BufWinEnter', {
    buffer = buf,
    callback = function()
      dress()
      run:draw_winbar()
    end,
  })
  client:retain()
  dress()
  vim.bo[buf].filetype = 'runlog-run'
  run:paint()
  run:load()
end

return M

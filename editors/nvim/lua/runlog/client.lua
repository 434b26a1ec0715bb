-- One connection for each root: starts `runlog serve --shared`, asks it, hears what it tells, and starts
-- another when it has died. Then reads are asked again, subscriptions go on after their last clock, and changes
-- that were under way are refused as of unknown outcome.
--
-- A message is one line. vim.lsp.rpc is not used: it drops an answer that holds a lone surrogate, and then
-- nobody is ever told.
local config = require('runlog.config')
local json = require('runlog.json')

local uv = vim.uv

-- what the daemon takes for text
local utf8 = (vim.lpeg.utfR(0, 0xd7ff) + vim.lpeg.utfR(0xe000, 0x10ffff)) ^ 0 * -1

-- the version of the protocol that is spoken here
local protocol = 1
local first_delay, longest_delay = 50, 5000
-- so many processes may end in a row without a word, then it is given up until somebody asks again
local silent_max = 5
-- so many lines that are no protocol may come before a process has begun: some print a greeting, others never end
local odd_max = 100
-- how long a process has to end by itself after the end of its input; one that answers what it was asked takes less
local end_within = 2000
-- how long what is being deleted or had back has, before that
local delete_within = 10000

-- asked again, they could be done twice
local mutations = {
  ['executions/save'] = true,
  ['executions/start'] = true,
  ['executions/update'] = true,
  ['executions/annotate'] = true,
  ['executions/delete'] = true,
  ['executions/deleteAll'] = true,
  ['executions/deleteMatching'] = true,
  ['executions/prune'] = true,
  ['executions/restore'] = true,
  ['trash/empty'] = true,
}

---@class runlog.Root
---@field folder string where to look from
---@field chosen boolean whether somebody named that
---@field path string the folder of the projects
---@field given boolean whether it is to be named to the daemon
---@field tried? string[] where one was looked for, if there is none

---@class runlog.Client
---@field root runlog.Root
---@field state 'idle'|'starting'|'ready'|'waiting'|'missing'|'failed'
---@field trouble? string why it is missing or failed
---@field server? table what `initialize` answered
---@field deleted { entries: string[], keys: table<string, true> }[] what can be undone, the latest last
---@field under_way integer how many deletions, and undos of them, are not done yet
---@field undo_wanted? boolean whether there is to be an undo once they are
local Client = {}
Client.__index = Client

local M = {
  -- how long a process has to answer `initialize`, in milliseconds
  answer_within = 15000,
}

---@type table<string, runlog.Client>
local clients = {}

---@type table<table, true> that run
local processes = {}

---Ends a process, which is to hear it from the end of its input.
local function finish(process)
  if not process.stdin:is_closing() then
    process.stdin:close()
  end
  vim.defer_fn(function()
    if processes[process] then
      process.handle:kill('sigkill')
    end
  end, end_within)
end

vim.api.nvim_create_autocmd('VimLeavePre', {
  group = vim.api.nvim_create_augroup('runlog.client', {}),
  callback = function()
    -- of many runs only some are deleted, or had back, at a time
    vim.wait(delete_within, function()
      return not vim.iter(clients):any(function(_, client)
        return client.pipe ~= nil and client.under_way > 0
      end)
    end, 10)
    for process in pairs(processes) do
      if process.heard then
        finish(process)
      else
        process.handle:kill('sigkill')
      end
    end
    vim.wait(end_within, function()
      return next(processes) == nil
    end, 10)
    for process in pairs(processes) do
      process.handle:kill('sigkill')
    end
  end,
})

---@param root runlog.Root
---@return runlog.Client
function M.of(root)
  local client = clients[root.path]
  if not client then
    client = setmetatable({
      root = root,
      state = 'idle',
      deleted = {},
      under_way = 0,
      last_id = 0,
      pending = {},
      subscriptions = {},
      by_subscription = {},
      watchers = {},
      users = 0,
      delay = first_delay,
      silent = 0,
    }, Client)
    clients[root.path] = client
  end
  return client
end

---@return runlog.Client[]
function M.all()
  return vim.tbl_values(clients)
end

---Somebody needs it from now on, until `release`.
function Client:retain()
  self.users = self.users + 1
  if self.state == 'idle' then
    self:_start()
  end
end

function Client:release()
  self.users = self.users - 1
  if self.users == 0 then
    self:_stop()
    clients[self.root.path] = nil
  end
end

---`fn` is called whenever the state has changed, or what can be undone.
---@return fun() remove
function Client:watch(fn)
  self.watchers[fn] = true
  return function()
    self.watchers[fn] = nil
  end
end

---Tries again what was given up.
function Client:retry()
  if self.state == 'missing' or self.state == 'failed' then
    self.silent = 0
    self.delay = first_delay
    self:_start()
  end
end

---@param method string
---@param params table
---@param done fun(err: table?, result: any) `result` is a `runlog.Json` with `tree`
---@param options? { tree?: boolean }
---@return fun() cancel after which `done` is not called
function Client:request(method, params, done, options)
  local refusal
  if self.state == 'missing' or self.state == 'failed' then
    refusal = { code = 503, message = self.trouble, data = { kind = 'unreachable' } }
  elseif not utf8:match(vim.json.encode(params)) then
    -- the daemon could not tell what it answers
    refusal = { code = -32602, message = 'This text is not UTF-8.', data = { kind = 'invalid-params' } }
  end
  if refusal then
    vim.schedule(function()
      done(refusal)
    end)
    return function() end
  end
  self.last_id = self.last_id + 1
  local id = self.last_id
  self.pending[id] = { id = id, method = method, params = params, done = done, tree = options and options.tree }
  if self.pipe then
    self:_send(self.pending[id])
  end
  return function()
    local pending = self.pending[id]
    if pending then
      self.pending[id] = nil
      if self.pipe then
        self:_write({ method = '$/cancelRequest', params = { id = id } })
      end
    end
  end
end

---@class runlog.Subscription
---@field close fun()

---Changes after the clock `params.since`, whatever dies in between.
---@param params table
---@param told fun(change: table)
---@return runlog.Subscription
function Client:subscribe(params, told)
  local subscription = { params = vim.deepcopy(params), told = told }
  self.subscriptions[subscription] = true
  self:_subscribe(subscription)
  return {
    close = function()
      self.subscriptions[subscription] = nil
      if subscription.id then
        self:_unsubscribe(subscription)
      end
    end,
  }
end

function Client:_unsubscribe(subscription)
  self.by_subscription[subscription.id] = nil
  if self.pipe then
    self:request('executions/unsubscribe', { subscription = subscription.id }, function() end)
  end
end

function Client:_subscribe(subscription)
  if not self.pipe then
    return -- when there is one
  end
  self:request('executions/subscribe', subscription.params, function(err, id)
    if not err then
      subscription.id = id
      self.by_subscription[id] = subscription
      if not self.subscriptions[subscription] then
        self:_unsubscribe(subscription) -- closed meanwhile
      end
    elseif err.data and err.data.kind ~= 'unreachable' and self.subscriptions[subscription] then
      vim.notify('runlog: the list is not live: ' .. err.message, vim.log.levels.WARN)
    end
  end)
end

---Calls those that watch.
function Client:tell()
  for _, fn in ipairs(vim.tbl_keys(self.watchers)) do
    fn()
  end
end

function Client:_set_state(state, trouble)
  self.state = state
  self.trouble = trouble
  self:tell()
end

function Client:_start()
  local folder = self.root.folder
  if vim.fn.isdirectory(folder) == 0 and self.root.given then
    folder = '/' -- what is named is found from anywhere
  elseif vim.fn.isdirectory(folder) == 0 then
    self:_give_up('failed', ('There is no folder %s.'):format(folder))
    return
  end
  local process = { odd_count = 0 }
  local stdin, stdout, stderr = uv.new_pipe(), uv.new_pipe(), uv.new_pipe()
  local arguments = { 'serve', '--shared' }
  if self.root.given then
    vim.list_extend(arguments, { '--projects', self.root.path })
  end
  local command = vim.fn.exepath(config.command)
  local handle, trouble
  if command ~= '' then
    handle, trouble = uv.spawn(command, {
      args = arguments,
      cwd = folder,
      stdio = { stdin, stdout, stderr },
    }, function(status)
      process.status = status
      process.handle:close()
      processes[process] = nil
      if process.over then
        process.over()
      end
    end)
  end
  if not handle then
    for _, pipe in ipairs({ stdin, stdout, stderr }) do
      pipe:close()
    end
    self:_give_up('missing', trouble and ('%s cannot be started: %s'):format(command, trouble)
      or require('runlog.roots').missing())
    return
  end
  process.handle, process.stdin = handle, stdin
  processes[process] = true
  self.process = process
  self.pipe = stdin
  self:_set_state('starting')

  local said = {}
  uv.read_start(stderr, function(_, chunk)
    if chunk then
      said[#said + 1] = chunk
      if #said > 64 then
        table.remove(said, 1)
      end
    else
      stderr:close()
    end
  end)

  local parts = {}
  uv.read_start(stdout, function(_, chunk)
    if chunk then
      local messages = {}
      local from = 1
      while true do
        local newline = chunk:find('\n', from, true)
        if not newline then
          break
        end
        parts[#parts + 1] = chunk:sub(from, newline - 1)
        messages[#messages + 1] = table.concat(parts)
        parts = {}
        from = newline + 1
      end
      if from <= #chunk then
        parts[#parts + 1] = chunk:sub(from)
      end
      if #messages > 0 then
        vim.schedule(function()
          for _, line in ipairs(messages) do
            if self.process ~= process then
              return -- one of them was the last
            end
            -- a mistake with one is not to lose the others
            local ok, trouble = xpcall(self._receive, debug.traceback, self, line)
            if not ok then
              vim.schedule(function()
                error(trouble, 0)
              end)
            end
          end
        end)
      end
      return
    end
    stdout:close()
    process.odd = process.odd or table.concat(parts)
    vim.schedule(function()
      finish(process)
    end)
    local over = vim.schedule_wrap(function()
      self:_ended(process, table.concat(said))
    end)
    if process.status then
      over()
    else
      process.over = over
    end
  end)

  self:request('initialize', {
    protocolVersion = protocol,
    processId = uv.os_getpid(),
    clientInfo = { name = 'runlog.nvim', version = tostring(vim.version()) },
  }, function(err, server)
    if err then
      self:_give_up('failed', ('%s refuses to begin: %s'):format(config.command, err.message))
      return
    end
    local version = type(server) == 'table' and server.protocolVersion
    if version ~= protocol then
      local words = '%s speaks version %s of the protocol; update this plugin.'
      self:_give_up('failed', words:format(config.command, version or '?'))
      return
    end
    process.heard = true
    self.server = server
    self:_set_state('ready')
  end)
  vim.defer_fn(function()
    if self.process == process and not process.heard then
      self:_give_up('failed', ('%s does not answer. Is it the right program?'):format(config.command))
    end
  end, M.answer_within)
  for _, pending in vim.spairs(self.pending) do
    if not pending.sent then
      self:_send(pending)
    end
  end
  for subscription in pairs(self.subscriptions) do
    self:_subscribe(subscription)
  end
end

function Client:_stop()
  local process = self.process
  if process then
    self:_drop()
    finish(process)
  end
  self.pending = {}
  self:_set_state('idle')
end

---There is no process any more.
function Client:_drop()
  if not self.pipe:is_closing() then
    self.pipe:close()
  end
  self.process, self.pipe = nil, nil
  self.by_subscription = {}
  for subscription in pairs(self.subscriptions) do
    subscription.id = nil
  end
end

function Client:_ended(process, said)
  if self.process ~= process then
    return
  end
  self:_drop()
  if process.heard then
    self.silent = 0
    self.delay = first_delay
  else
    self.silent = self.silent + 1
  end
  local refused = {}
  for id, pending in vim.spairs(self.pending) do
    if vim.startswith(pending.method, 'init') or vim.endswith(pending.method, 'subscribe') then
      self.pending[id] = nil -- of that connection alone
    elseif pending.sent and mutations[pending.method] then
      self.pending[id] = nil
      refused[#refused + 1] = pending
    else
      pending.sent = false
    end
  end
  for _, pending in ipairs(refused) do
    pending.done({
      code = 503,
      message = 'The daemon died before it answered; look whether it was done, and try again if not.',
      data = { kind = 'daemon-lost', outcome = 'unknown' },
    })
  end
  if self.silent >= silent_max or (process.status ~= 0 and not process.heard and self.silent >= 2) then
    local words = vim.trim(said ~= '' and said or process.odd or ''):sub(1, 1000)
    self:_give_up('failed', ('%s ended with status %d%s'):format(
      config.command,
      process.status,
      words ~= '' and ': ' .. words or '.'
    ))
    return
  end
  self:_set_state('waiting')
  vim.defer_fn(function()
    if self.users > 0 and self.state == 'waiting' then
      self:_start()
    end
  end, self.delay)
  self.delay = math.min(2 * self.delay, longest_delay)
end

function Client:_give_up(state, trouble)
  local process = self.process
  if process then
    self:_drop()
    process.handle:kill('sigkill') -- it has said nothing that could be lost
  end
  local pending = self.pending
  self.pending = {}
  self:_set_state(state, trouble)
  for _, one in vim.spairs(pending) do
    if one.method ~= 'initialize' then
      one.done({ code = 503, message = trouble, data = { kind = 'unreachable' } })
    end
  end
end

function Client:_write(message)
  message.jsonrpc = '2.0'
  -- what cannot be written ends the connection, which is seen where it is read
  self.pipe:write(vim.json.encode(message) .. '\n', function() end)
end

function Client:_send(pending)
  pending.sent = true
  local params = next(pending.params) and pending.params or nil
  self:_write({ id = pending.id, method = pending.method, params = params })
end

---@param line string
function Client:_receive(line)
  local id = tonumber(line:match('^%s*{%s*"jsonrpc"%s*:%s*"2.0"%s*,%s*"id"%s*:%s*(%d+)%s*,%s*"result"'))
  local pending = id and self.pending[id]
  if pending and pending.tree then
    self.pending[id] = nil
    local ok, tree = pcall(json.parse, line)
    if ok then
      pending.done(nil, json.at(tree, 'result'))
    else
      pending.done({ code = -32603, message = 'The answer cannot be read: ' .. tree, data = {} })
    end
    return
  end
  local options = { luanil = { object = true } }
  local ok, message = pcall(vim.json.decode, line, options)
  if not ok then
    ok, message = pcall(vim.json.decode, json.tame(line), options)
  end
  if not ok or type(message) ~= 'table' then
    local process = self.process
    process.odd, process.odd_count = line, process.odd_count + 1
    if pending then
      self.pending[id] = nil
      pending.done({ code = -32603, message = 'The answer cannot be read: ' .. message, data = {} })
    elseif not process.heard and process.odd_count == odd_max then
      self:_give_up('failed', ('%s does not speak the protocol, but says: %s'):format(config.command, line:sub(1, 1000)))
    end
    return
  end
  if message.method == 'executions/changed' then
    local subscription = self.by_subscription[message.params.subscription]
    if subscription then
      local change = message.params.result
      subscription.params.since = change.clock
      subscription.told(change)
    end
  elseif message.id then
    pending = self.pending[message.id]
    if pending then
      self.pending[message.id] = nil
      if message.error then
        message.error.data = message.error.data or {}
      end
      pending.done(message.error, message.result)
    end
  end
end

---@param method string
function Client:can(method)
  return self.server ~= nil and vim.list_contains(self.server.capabilities.methods, method)
end

return M

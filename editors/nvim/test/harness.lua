-- A Neovim in a terminal of this one, with the plugin, typed into as a person would, and looked at.
local M = {}

local uv = vim.uv
local place = assert(vim.env.RUNLOG_PLACE)
M.place = place
M.binary = assert(vim.env.RUNLOG_BIN)

---Waits until `wanted` gives something.
---@param what string
---@param wanted fun(): any
---@param seconds? number
function M.until_(what, wanted, seconds)
  local found
  local ok = vim.wait((seconds or 10) * 1000, function()
    found = wanted()
    return found and true or false
  end, 10)
  if not ok then
    error('waited in vain for ' .. what, 2)
  end
  return found
end

function M.equal(got, wanted, what)
  if not vim.deep_equal(got, wanted) then
    error(('%s: %s, not %s'):format(what or 'got', vim.inspect(got), vim.inspect(wanted)), 2)
  end
end

function M.has(text, part, what)
  if not text:find(part, 1, true) then
    error(('%s lacks %q:\n%s'):format(what or 'the text', part, text), 2)
  end
end

-- ---------------------------------------------------------------------------------------------------- files

---@return string a new folder
function M.folder(name)
  local folder = ('%s/%s-%d'):format(place, name, uv.hrtime())
  vim.fn.mkdir(folder, 'p')
  return folder
end

function M.write(path, text)
  vim.fn.mkdir(vim.fs.dirname(path), 'p')
  local file = assert(io.open(path, 'wb'))
  file:write(text)
  file:close()
end

---What the engine does to save a run. `more` is JSON text of further members.
function M.save(root, project, id, members, more)
  local record = vim.tbl_extend('force', {
    id = id,
    projectId = project,
    status = 'completed',
    input = 'Input of ' .. id,
    output = 'Output of ' .. id,
    startedAt = '2026-01-01T00:00:00.000Z',
    duration = 1500,
    costUSD = 0.01,
  }, members or {})
  local text = vim.json.encode(record)
  if more then
    text = text:sub(1, -2) .. ',' .. more .. '}'
  end
  local path = ('%s/%s/executions/%s.json'):format(root, project, id)
  M.write(path .. '.tmp', text)
  assert(uv.fs_rename(path .. '.tmp', path))
  return path
end

---@return string[] each character that the program makes visible on a terminal
function M.acting()
  local file = assert(io.open(vim.env.RUNLOG_PLUGIN .. '/../../src/cli/terminal.rs'))
  local set = assert(file:read('*a'):match('fn acts.-matches!(.-)\n}'))
  file:close()
  local found, from = {}, nil
  for code, range in set:gmatch("'\\u{(%x+)}'(%.?%.?=?)") do
    local char = tonumber(code, 16)
    for each = from or char, char do
      found[#found + 1] = vim.fn.nr2char(each, true)
    end
    from = range == '..=' and char + 1 or nil
  end
  assert(#found > 100, 'the list is spelt another way')
  return found
end

---@return string RFC 3339 of a minute since an arbitrary one
function M.minute(n)
  return ('2026-02-%02dT%02d:%02d:00.000Z'):format(1 + math.floor(n / 1440), math.floor(n / 60) % 24, n % 60)
end

---@return string root of so many runs, the last one the newest
function M.root(count)
  local root = M.folder('work') .. '/projects'
  for i = 1, count do
    M.save(root, 'website', ('exec-%04d'):format(i), {
      startedAt = M.minute(i),
      status = i % 3 == 0 and 'failed' or 'completed',
      error = i % 3 == 0 and 'It broke.' or nil,
      input = 'Task number ' .. i,
    })
  end
  if count == 0 then
    vim.fn.mkdir(root .. '/website/executions', 'p')
  end
  return root
end

---One question to the daemon, past the editor.
function M.ask(root, method, params)
  local question = vim.json.encode({ jsonrpc = '2.0', id = 1, method = method, params = params })
  local out = vim.system({ M.binary, 'serve', '--shared', '--projects', root }, { text = true, stdin = question .. '\n' })
    :wait(20000)
  local answer = vim.json.decode(vim.split(out.stdout, '\n')[1], { luanil = { object = true } })
  return assert(answer.result, out.stdout)
end

---@param script string of a shell
---@return string path of a program
function M.program(script)
  local path = M.folder('bin') .. '/runlog'
  M.write(path, '#!/bin/sh\n' .. script .. '\n')
  assert(uv.fs_chmod(path, 493)) -- 0755
  return path
end

---@param words string what the command line contains
---@return integer[] of our processes
function M.processes(words)
  local found = {}
  for name in vim.fs.dir('/proc') do
    local pid = tonumber(name)
    local file = pid and io.open('/proc/' .. name .. '/cmdline', 'rb')
    if file then
      local line = file:read('*a'):gsub('%z', ' ')
      file:close()
      if line:find(place, 1, true) and line:find(words, 1, true) and vim.startswith(line, M.binary:match('[^/]*$'))
        or (line:find(place, 1, true) and line:find(words, 1, true) and vim.startswith(line, M.binary)) then
        found[#found + 1] = pid
      end
    end
  end
  return found
end

-- --------------------------------------------------------------------------------------------------- Neovim

local Editor = {}
Editor.__index = Editor

local editors = {}

---@param options { cwd: string, binary?: string, width?: integer, height?: integer, setup?: string }
function M.editor(options)
  local self = setmetatable({}, Editor)
  self.socket = ('%s/nvim-%d.sock'):format(place, uv.hrtime())
  local width, height = options.width or 110, options.height or 30
  vim.o.lines, vim.o.columns = height + 3, width -- the terminal is as large as its window
  vim.cmd('tabnew | set laststatus=0 showtabline=0')
  self.buf = vim.api.nvim_get_current_buf()
  local command = {
    vim.env.RUNLOG_NVIM, '--clean', '-n', '--listen', self.socket,
    '--cmd', 'set rtp^=' .. vim.env.RUNLOG_PLUGIN .. ' noswapfile shortmess+=I verbosefile=' .. self.socket .. '.messages',
    '--cmd', options.setup or ("lua require('runlog').setup({ command = %q })"):format(options.binary or M.binary),
  }
  self.job = vim.fn.jobstart(command, { term = true, cwd = options.cwd, env = { TERM = 'xterm-256color' } })
  assert(self.job > 0, 'Neovim does not start')
  self.pid = vim.fn.jobpid(self.job)
  self.channel = M.until_('Neovim', function()
    local ok, channel = pcall(vim.fn.sockconnect, 'pipe', self.socket, { rpc = true })
    return ok and channel > 0 and channel
  end)
  editors[#editors + 1] = self
  M.until_('its start', function()
    return self:lua('return vim.v.vim_did_enter') == 1
  end)
  return self
end

---Runs Lua in it.
function Editor:lua(code, ...)
  return vim.rpcrequest(self.channel, 'nvim_exec_lua', code, { ... })
end

---Types.
function Editor:type(keys)
  vim.rpcrequest(self.channel, 'nvim_input', keys)
end

function Editor:command(command)
  vim.rpcrequest(self.channel, 'nvim_command', command)
end

---@return string[] of the current buffer
function Editor:lines()
  return vim.rpcrequest(self.channel, 'nvim_buf_get_lines', 0, 0, -1, false)
end

function Editor:text()
  return table.concat(self:lines(), '\n')
end

---@return string what the terminal shows
function Editor:screen()
  return table.concat(vim.api.nvim_buf_get_lines(self.buf, 0, -1, false), '\n')
end

function Editor:wait_text(part, seconds)
  local ok = pcall(M.until_, '', function()
    return self:text():find(part, 1, true)
  end, seconds)
  if not ok then
    error(('waited in vain for %q in:\n%s'):format(part, self:text()), 2)
  end
end

function Editor:wait_screen(part, seconds)
  local ok = pcall(M.until_, '', function()
    return self:screen():find(part, 1, true)
  end, seconds)
  if not ok then
    error(('waited in vain for %q on:\n%s'):format(part, self:screen()), 2)
  end
end

---@return string[] project/id of each run that the list shows, in order
function Editor:runs()
  return self:lua([[
    local found, seen = {}, {}
    local list = require('runlog.list').current()
    for _, item in ipairs(list and list.items or {}) do
      if item.row and not seen[item.index] then
        seen[item.index] = true
        found[#found + 1] = item.row.projectId .. '/' .. item.row.id
      end
    end
    return found
  ]])
end

---@return { lnum: integer, cursor: string, top: string } the lines of the cursor and of the window's top
function Editor:view()
  return self:lua([[
    return { lnum = vim.fn.line('.'), cursor = vim.fn.getline('.'), top = vim.fn.getline(vim.fn.line('w0')) }
  ]])
end

function Editor:close()
  pcall(vim.rpcnotify, self.channel, 'nvim_command', 'qall!')
  vim.fn.jobwait({ self.job }, 1000)
  pcall(vim.fn.chanclose, self.channel)
  vim.fn.jobstop(self.job)
  vim.fn.jobwait({ self.job }, 5000)
  pcall(vim.api.nvim_buf_delete, self.buf, { force = true })
end

---Opens the list and waits for it.
function M.list(root, options)
  local editor = M.editor(vim.tbl_extend('force', { cwd = vim.fs.dirname(root) }, options or {}))
  editor:type(':Runlog<CR>')
  M.until_('the list', function()
    return #editor:runs() > 0
  end)
  return editor
end

-- ---------------------------------------------------------------------------------------------------- checks

---@param checks { [1]: string, [2]: fun() }[]
function M.run(checks)
  local failed = 0
  local began = uv.hrtime()
  for _, check in ipairs(checks) do
    local wanted = #_G.arg == 0
    for _, word in ipairs(_G.arg) do
      wanted = wanted or check[1]:find(word, 1, true) ~= nil
    end
    if wanted then
      local start = uv.hrtime()
      -- one that does not answer would hold up everything
      local watchdog = assert(uv.new_timer())
      watchdog:start(check.within or 60000, 0, function()
        for _, editor in ipairs(editors) do
          uv.kill(editor.pid, 'sigkill')
        end
      end)
      local ok, trouble = xpcall(check[2], function(err)
        return type(err) == 'string' and err or vim.inspect(err)
      end)
      if not ok then
        failed = failed + 1
        for _, editor in ipairs(editors) do
          if vim.api.nvim_buf_is_valid(editor.buf) then
            trouble = trouble .. '\n--- its screen:\n' .. editor:screen():gsub('%s+$', '')
            local messages = io.open(editor.socket .. '.messages')
            if messages then
              trouble = trouble .. '\n--- its messages:\n' .. messages:read('*a')
              messages:close()
            end
          end
        end
      end
      watchdog:close()
      for _, editor in ipairs(editors) do
        editor:close()
      end
      editors = {}
      io.stdout:write(('%s %s (%.1f s)\n'):format(ok and 'ok    ' or 'FAILED', check[1], (uv.hrtime() - start) / 1e9))
      if not ok then
        io.stdout:write((trouble:gsub('^', '       '):gsub('\n', '\n       ')), '\n')
      end
      io.stdout:flush()
    end
  end
  io.stdout:write(('%s in %.1f s\n'):format(failed == 0 and 'all well' or failed .. ' failed', (uv.hrtime() - began) / 1e9))
  os.exit(failed == 0 and 0 or 1)
end

return M

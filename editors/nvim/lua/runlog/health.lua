-- :checkhealth runlog
local config = require('runlog.config')

local M = {}

function M.check()
  local health = vim.health
  health.start('runlog')
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim is ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.10 or later is needed')
  end
  local command = vim.fn.exepath(config.command)
  if command == '' then
    health.error(require('runlog.roots').missing(), {
      'Install runlog, or name it: require("runlog").setup({ command = "/path/to/runlog" })',
    })
    return
  end
  local version = vim.system({ command, '--version' }, { text = true }):wait(3000)
  if version.code ~= 0 then
    local words = version.code == 124 and 'it does not answer' or vim.trim(version.stderr or '')
    health.error(command .. ' cannot be run: ' .. words)
    return
  end
  health.ok(('%s is %s'):format(vim.trim(version.stdout), command))

  local found = vim.system({ command, 'root', '--json' }, { text = true }):wait(3000)
  local ok, root = pcall(vim.json.decode, found.stdout or '', { luanil = { object = true } })
  if not ok or not require('runlog.roots').tells(root) then
    health.error('It does not say which folder it serves: ' .. vim.trim((found.stderr or '') .. (found.stdout or '')))
    return
  elseif not root.root then
    health.warn('Several folders could be meant here; :Runlog asks which', root.candidates)
    return
  elseif not root.exists then
    health.warn('There is no folder of runs here; looked for:', root.tried)
    return
  end
  health.ok('The runs are in ' .. root.root)

  local answers, said = {}, ''
  local process = vim.system({ command, 'serve', '--shared', '--projects', root.root }, {
    stdin = true,
    stdout = function(_, chunk)
      said = said .. (chunk or '')
    end,
  })
  process:write(table.concat({
    '{"jsonrpc":"2.0","id":1,"method":"initialize"}',
    '{"jsonrpc":"2.0","id":2,"method":"executions/stats","params":{"sync":true}}',
    '',
  }, '\n'))
  local function answered(id)
    vim.wait(30000, function()
      for line in said:gmatch('([^\n]+)\n') do
        local decoded, answer = pcall(vim.json.decode, line, { luanil = { object = true } })
        if decoded and answer.id then
          answers[answer.id] = answer.result
        end
      end
      return answers[id] ~= nil or process:is_closing()
    end, 20)
    return answers[id]
  end
  -- once the runs are counted, what is told of them is no longer of the beginning
  local stats = answered(1) and answered(2)
  if stats then
    process:write('{"jsonrpc":"2.0","id":3,"method":"server/status"}\n')
  end
  local status = stats and answered(3)
  process:write(nil)
  local ended = process:wait(5000)
  if not status then
    health.error('The daemon does not answer: ' .. vim.trim(ended.stderr or ''))
    return
  end
  if answers[1].shared and answers[1].shared.active then
    health.ok('One daemon is shared by all windows')
  else
    health.warn('Every window has a daemon of its own: ' .. ((answers[1].shared or {}).reason or 'this version does not share.'))
  end
  health.info(('%d runs in %d projects, daemon %d'):format(status.executions, status.projects, status.pid))
  if status.watcher.healthy then
    health.ok('Changes are noticed at once')
  else
    health.warn('Changes are noticed late: ' .. (status.watcher.message or ''))
  end
  if status.problems > 0 then
    health.warn(('%d files have a problem'):format(status.problems), { 'P in the list shows them' })
  else
    health.ok('Every file can be read')
  end
end

return M

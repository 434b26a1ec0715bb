-- The command, the highlight groups and sessions; everything else is loaded when it is first used.
if vim.g.loaded_runlog then
  return
end
vim.g.loaded_runlog = true

for group, standard in pairs({
  RunlogCompleted = 'DiagnosticOk',
  RunlogFailed = 'DiagnosticError',
  RunlogRunning = 'DiagnosticInfo',
  RunlogQueued = 'DiagnosticHint',
  RunlogPaused = 'DiagnosticWarn',
  RunlogCancelled = 'Comment',
  RunlogStale = 'DiagnosticWarn',
  RunlogOther = 'Normal',
  RunlogTime = 'Comment',
  RunlogDuration = 'Number',
  RunlogCost = 'Number',
  RunlogProject = 'Directory',
  RunlogError = 'DiagnosticError',
  RunlogMark = 'WarningMsg',
  RunlogTag = 'Label',
  RunlogHeading = 'Title',
  RunlogField = 'Identifier',
  RunlogHint = 'NonText',
  RunlogMatch = 'Search',
  RunlogFilterError = 'DiagnosticUnderlineError',
}) do
  vim.api.nvim_set_hl(0, group, { link = standard, default = true })
end

vim.api.nvim_create_user_command('Runlog', function(command)
  require('runlog').open(command.args ~= '' and command.args or nil)
end, {
  nargs = '?',
  complete = 'dir',
  desc = 'List the runs of this folder, or of another one',
})

vim.api.nvim_create_autocmd('BufReadCmd', {
  group = vim.api.nvim_create_augroup('runlog', {}),
  pattern = 'runlog://*',
  callback = function()
    require('runlog.list').open_again()
  end,
})
vim.api.nvim_create_autocmd('SessionLoadPost', {
  group = 'runlog',
  callback = function()
    for _, win in ipairs(vim.api.nvim_list_wins()) do
      if vim.startswith(vim.api.nvim_buf_get_name(vim.api.nvim_win_get_buf(win)), 'runlog://') then
        vim.api.nvim_win_call(win, function()
          require('runlog.list').open_again()
        end)
      end
    end
  end,
})

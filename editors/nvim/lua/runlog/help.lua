-- The keys of a buffer, in a window that closes with the next key.
local M = {}

---@param tag string of the help file
---@param keys table[] mode, key, what it does
function M.show(tag, keys)
  local lines = {}
  for _, key in ipairs(keys) do
    lines[#lines + 1] = (' %-6s %s%s '):format(key[2], key[3], key[1] == 'x' and ' (visual)' or '')
  end
  vim.list_extend(lines, { '', (' :help %s tells more; any of q, <Esc> closes. '):format(tag) })
  local buf = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, lines)
  vim.bo[buf].modifiable = false
  vim.bo[buf].bufhidden = 'wipe'
  local width = 0
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  local height = math.min(#lines, vim.o.lines - 4)
  local win = vim.api.nvim_open_win(buf, true, {
    relative = 'editor',
    row = math.max(0, math.floor((vim.o.lines - height) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
    width = width,
    height = height,
    style = 'minimal',
    border = 'rounded',
    title = ' runlog ',
  })
  for _, key in ipairs({ 'q', '<Esc>', 'g?' }) do
    vim.keymap.set('n', key, function()
      vim.api.nvim_win_close(win, true)
    end, { buffer = buf, nowait = true })
  end
end

return M

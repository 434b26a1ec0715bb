-- What is done to runs, from a list and from a run's view.
local format = require('runlog.format')

local M = {}

---@param err table
local function refused(err)
  vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
end

local function name(summary)
  return format.shorten(format.line(summary.label or summary.id), 40)
end

---@param client runlog.Client
---@param rows table[]
function M.delete(client, rows)
  if #rows == 0 then
    return
  end
  local entries, left = {}, #rows
  client.deleting = client.deleting + 1
  for _, row in ipairs(rows) do
    client:request('executions/delete', { projectId = row.projectId, executionId = row.id }, function(err, result)
      left = left - 1
      if err then
        refused(err)
      elseif result.entry then
        entries[#entries + 1] = result.entry
      end
      if left > 0 then
        return
      end
      client.deleting = client.deleting - 1
      if #entries > 0 then
        table.insert(client.deleted, entries)
        vim.notify(('Deleted %s; u has it back.'):format(#rows == 1 and name(row) or #rows .. ' runs'))
      end
      if client.undo_wanted then
        client.undo_wanted = false
        M.undo(client)
      end
    end)
  end
end

---@param client runlog.Client
function M.undo(client)
  if client.deleting > 0 then
    client.undo_wanted = true -- as soon as it is deleted
    return
  end
  local entries = table.remove(client.deleted)
  if not entries then
    vim.notify('Nothing was deleted here.')
    return
  end
  client:request('executions/restore', { entries = entries }, function(err, result)
    if err then
      table.insert(client.deleted, entries)
      refused(err)
    else
      vim.notify(('%d %s back.'):format(result.count, result.count == 1 and 'run is' or 'runs are'))
    end
  end)
end

---@param client runlog.Client
---@param row table?
---@param change table
local function annotate(client, row, change)
  if not client:can('executions/annotate') then
    vim.notify('runlog: this version of the program has no pins, tags and notes; update it.', vim.log.levels.WARN)
    return
  end
  change.projectId, change.executionId = row.projectId, row.id
  client:request('executions/annotate', change, function(err)
    if err then
      refused(err)
    end
  end)
end

---@param client runlog.Client
---@param row table?
function M.pin(client, row)
  if row then
    annotate(client, row, { pinned = not row.pinned })
  end
end

---@param client runlog.Client
---@param row table?
function M.tags(client, row)
  if not row then
    return
  end
  local old = row.tags or {}
  vim.ui.input({ prompt = 'Tags, with blanks between them: ', default = table.concat(old, ' ') }, function(text)
    if not text then
      return
    end
    local tags = vim.split(vim.trim(text), '[%s,]+', { trimempty = true })
    if #tags > 0 then
      annotate(client, row, { tags = tags })
    elseif #old > 0 then
      annotate(client, row, { removeTags = old }) -- Lua cannot say an empty array in JSON
    end
  end)
end

---@param client runlog.Client
---@param row table?
function M.note(client, row)
  if row then
    vim.ui.input({ prompt = 'Note: ', default = row.note }, function(text)
      if text then
        annotate(client, row, { note = text })
      end
    end)
  end
end

---@param client runlog.Client
---@param row table
function M.open_file(client, row)
  local root = client.server and client.server.root.path or client.root.path
  vim.cmd.edit(vim.fn.fnameescape(('%s/%s/executions/%s.json'):format(root, row.projectId, row.id)))
end

---Closes the window, or in the last one goes back to what it showed before.
function M.close()
  if #vim.api.nvim_list_wins() > 1 then
    vim.cmd.close()
  else
    local alternate = vim.fn.bufnr('#')
    if alternate > 0 and (vim.bo[alternate].buflisted or vim.bo[alternate].filetype == 'runlog') then
      vim.cmd.buffer(alternate)
    else
      vim.cmd.enew()
    end
  end
end

return M

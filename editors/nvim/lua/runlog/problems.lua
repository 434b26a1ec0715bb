-- Files that cannot be read or do not fit, in the quickfix list.
local M = {}

local types = { corrupt = 'E', ['not-an-object'] = 'E', unreadable = 'E' }

---@param client runlog.Client
function M.open(client)
  local items = {}
  local function page(cursor)
    client:request('server/problems', { limit = 1000, cursor = cursor, sync = true }, function(err, answer)
      if err then
        vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
        return
      end
      local root = client.server and client.server.root.path or client.root.path
      for _, problem in ipairs(answer.problems) do
        items[#items + 1] = {
          filename = root .. '/' .. problem.path,
          lnum = 1,
          type = types[problem.kind] or 'W',
          text = ('%s: %s'):format(problem.kind, problem.message),
        }
      end
      if answer.nextCursor then
        return page(answer.nextCursor)
      end
      vim.fn.setqflist({}, ' ', { title = 'runlog: problems in ' .. root, items = items })
      if #items > 0 then
        vim.cmd('botright copen')
      else
        vim.notify('No file has a problem.')
      end
    end)
  end
  page()
end

return M

-- What must hold after a run: nobody has more than was journaled, and nobody is over the cap. Returns the entries of the
-- journal and the faults found.
local journaled, entries, last = 0, 0, '-'
local latest = {}
while true do
    local page = redis.call('XRANGE', 'journal', last, '+', 'COUNT', 1000)
    for _, entry in ipairs(page) do
        local fields = {}
        for index = 1, #entry[2], 2 do
            fields[entry[2][index]] = entry[2][index + 1]
        end
        journaled = journaled + tonumber(fields.granted)
        latest[fields.account] = tonumber(fields.balance)
        entries = entries + 1
    end
    if #page < 1000 then
        break
    end
    last = '(' .. page[#page][1]
end
local balances, faults = 0, {}
for account, balance in pairs(latest) do
    local fields = redis.call('HGETALL', account)
    for index = 1, #fields, 2 do
        local value = tonumber(fields[index + 1])
        if fields[index] == 'balance' then
            balances = balances + value
            if value ~= balance then
                faults[#faults + 1] = 'a balance in the journal is wrong'
            end
        elseif value > 200 then
            faults[#faults + 1] = 'an account is over the cap'
        end
    end
end
if balances ~= journaled then
    faults[#faults + 1] = 'balances differ from the journal'
end
return { entries, faults[1] or '' }

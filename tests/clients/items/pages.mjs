// The node's own pages in a real browser: what they say, that they fit a phone, that nothing foreign runs, that they are accessible.
// Pictures of all of them are left in target/pages.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { getAddress, stringToHex } from 'viem'
import { withBrowser } from '../lib/browser.mjs'
import { ROLE, mined, until } from '../lib/network.mjs'

const pictures = fileURLToPath(new URL('../../../target/pages/', import.meta.url))
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const SCREENS = [
  { name: 'phone', viewport: { width: 360, height: 740 }, colorScheme: 'light' },
  { name: 'desktop', viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
]
const MAX_PAGE = 50 << 10
const HOSTILE = '</code><script>document.title="taken"</script><img src=x onerror="document.title=1">'

/** An item that needs the browser; `test` says why where there is none to be had. */
const browsed = (run) => (process.env.OCEANID_NO_BROWSER ? async (_, note) => note('not looked at: Chromium cannot be installed here') : run)

/** Every kind of page: name, path, status, texts that must be there. */
async function pages({ l2, l2Wallet, accounts }) {
  const wallet = l2Wallet(ROLE.pages)
  const sent = await mined(l2, await wallet.sendTransaction({ to: accounts[ROLE.receiver].address, value: 1n, data: stringToHex(HOSTILE) }))
  const block = await l2.getBlock({ blockNumber: sent.blockNumber })
  const deposit = await depositIn(l2)
  return [
    // Held: the live one would load itself again under the browser's hands.
    ['overview', '/?live=no', 200, ['Load it again', 'Sequencers', 'Committee', 'finalised by the committee', 'Nakamoto coefficient', 'Budget left', 'Recent batches', 'Recent blocks']],
    ['block', `/block/${sent.blockNumber}`, 200, ['members signed in view', block.hash, block.stateRoot, sent.transactionHash.slice(0, 10)]],
    ['block by hash', `/block/${block.hash}`, 200, [`Block ${Number(sent.blockNumber).toLocaleString('en')}`]],
    ['genesis', '/block/0', 200, ['genesis is given']],
    ['transaction', `/tx/${sent.transactionHash}`, 200, ['success', getAddress(sent.from), `As text: ${HOSTILE}`]],
    ['deposit', `/tx/${deposit}`, 200, ['deposit', 'Source on L1']],
    ['batch', '/batch/1', 200, ['Batch 1', 'members signed in view', 'Postings of its data']],
    ['sequencer', '/sequencer/1', 200, ['Sequencer 1', 'active', 'Locked', 'BLS key', 'Work']],
    ['epoch', '/epoch/0', 200, ['complete', 'Led', 'Missed']],
    ['no block', '/block/99999999', 404, ['There is no block 99,999,999 yet']],
    ['no page', '/%3Cscript%3Ealert(1)%3C%2Fscript%3E', 404, ['There is no page “/<script>alert(1)</script>”']],
    ['bad hash', '/tx/0x12', 400, ['64 hexadecimal digits']],
    ['bad search', '/search?q=%22%3E%3Cimg+src%3Dx%3E', 400, ['not “"><img src=x>”']],
  ]
}

/** Hash of some deposit: a block that takes in L1 has one. */
async function depositIn(l2) {
  return until('a block with a deposit', async () => {
    for (let number = await l2.getBlockNumber(); number > 0n; number -= 1n) {
      const block = await l2.getBlock({ blockNumber: number, includeTransactions: true })
      const found = block.transactions.find(({ typeHex }) => typeHex === '0x7e')
      if (found) return found.hash
    }
    return undefined
  })
}

async function visit(context, url, status, texts, picture) {
  const page = await context.newPage()
  const complaints = []
  page.on('console', (message) => {
    // Chromium reports the status of the page itself as an error.
    const expected = status >= 400 && message.location().url === url
    if (['error', 'warning'].includes(message.type()) && !expected) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(`asked for ${request.url()}`)
  })
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`))
  try {
    const response = await page.goto(url, { waitUntil: 'load' })
    assert.equal(response.status(), status)
    const headers = response.headers()
    assert.match(headers['content-security-policy'], /^default-src 'none'/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.ok((await response.body()).length < MAX_PAGE)
    const text = await page.innerText('body')
    for (const expected of texts) assert.ok(text.includes(expected), `“${expected}” is not in: ${text}`)
    assert.equal(await page.locator('script, iframe, [onerror], [style]').count(), 0)
    assert.ok((await page.title()).includes(' · '), await page.title())
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth])
    assert.ok(wide <= room, `${wide} pixels on a screen of ${room}`)
    await page.screenshot({ path: picture, fullPage: true })
    // Not `addScriptTag`: the pages' policy forbids scripts, as it should.
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'], rules: { 'meta-refresh': { enabled: false } } }))
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(' ')}`), [])
    assert.deepEqual(complaints, [])
  } finally {
    await page.close()
  }
}

export default {
  'every page on a phone and on a desk, in light and dark': browsed(async (network, note) => {
    const base = network.config.l2.http
    await until('batches and stake on the first page', async () => {
      const first = await (await fetch(base)).text()
      return first.includes('Budget left') && /href="\/batch\/[1-9]/.test(first)
    })
    await until('the first epoch to end', async () => (await (await fetch(`${base}/epoch/0`)).text()).includes('complete'))
    const list = await pages(network)
    mkdirSync(pictures, { recursive: true })
    await withBrowser(async (browser) => {
      for (const { name: screen, ...options } of SCREENS) {
        const context = await browser.newContext(options)
        for (const [name, path, status, texts] of list) {
          const picture = `${pictures}${name.replaceAll(' ', '-')}-${screen}.png`
          await visit(context, `${base}${path}`, status, texts, picture).catch((error) => {
            throw new Error(`${path} on the ${screen}: ${error.message}`)
          })
        }
        await context.close()
      }
    })
    note(`${list.length} pages, pictures in ${pictures}`)
  }),

  'the first page loads itself again': async ({ config }) => {
    const live = await (await fetch(config.l2.http)).text()
    const held = await (await fetch(`${config.l2.http}/?live=no`)).text()
    assert.match(live, /<meta http-equiv="refresh" content="5">/)
    assert.doesNotMatch(held, /http-equiv/)
  },

  'search leads to what was meant': browsed(async ({ config, l2 }) => {
    const block = await l2.getBlock({ blockNumber: 1n })
    await withBrowser(async (browser) => {
      const page = await browser.newPage()
      for (const [asked, expected] of [['1', 'Block 1'], [block.hash, 'Block 1']]) {
        await page.goto(`${config.l2.http}/?live=no`)
        await page.fill('input[type=search]', asked)
        await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
        assert.equal(await page.innerText('h1'), expected)
      }
    })
  }),

  'the follower has the same pages': async ({ config }) => {
    const first = await fetch(config.follower.http)
    assert.equal(first.status, 200)
    assert.match(await first.text(), /This node: follower/)
  },

  'metrics are what Prometheus reads': async ({ config, l2 }) => {
    const response = await fetch(`${config.l2.http}/metrics`)
    assert.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
    const text = await response.text()
    const value = (name) => Number(text.match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1])
    const head = Number(await l2.getBlockNumber())
    assert.ok(Math.abs(value('oceanid_block_number') - head) < 20, `${value('oceanid_block_number')} and ${head}`)
    const sequencers = config.nodes.filter(({ role }) => role === 'sequencer').length
    assert.equal(value('oceanid_committee_members'), sequencers)
    await until('the connections of all sequencers', async () => (await (await fetch(`${config.l2.http}/metrics`)).text()).includes(`\noceanid_peers ${sequencers - 1}\n`))
    for (const name of ['oceanid_execute_seconds_count', 'oceanid_finality_seconds_count', 'oceanid_l1_balance_ether', 'oceanid_process_resident_bytes', 'oceanid_l1_block_number']) {
      assert.ok(value(name) > 0, `${name}: ${value(name)}`)
    }
    const consensus = await (await fetch(`${config.l2.http}/metrics/consensus`)).text()
    assert.match(consensus, /# EOF/)
  },

  'JSON-RPC is where it was': async ({ config }) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
    const response = await fetch(config.l2.http, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    assert.equal(Number((await response.json()).result), config.l2.chainId)
  },
}

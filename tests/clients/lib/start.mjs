// Starts a development network for the tests, on the embedded L1 or on anvil, and stops it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** How long a network may take to come up, milliseconds; a debug build on a busy machine is slow. */
const START_TIMEOUT = 120_000

/** Starts `oceanid dev`; sets OCEANID_CONFIG; returns a function that ends everything. */
export async function startNetwork(oceanid, l1) {
  const dir = mkdtempSync(join(tmpdir(), 'oceanid-clients-'))
  let children = []
  const stop = async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGINT')
      const kill = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await once(child, 'exit')
      clearTimeout(kill)
    }
    rmSync(dir, { recursive: true, force: true })
  }
  const start = (command, args) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    children.push(child)
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`)
      children = children.filter((other) => other !== child)
    })
    return child
  }
  try {
    const config = join(dir, 'config.json')
    const args = ['dev', '--config-out', config, '--port', '0', '--challenge-window', '5s', '--heartbeat', '1s', '--epoch-length', '12']
    if (l1 === 'anvil') {
      const port = await freePort()
      const anvil = fileURLToPath(new URL('../node_modules/.bin/anvil', import.meta.url))
      start(anvil, ['--port', String(port), '--hardfork', 'prague', '--block-time', '1', '--silent'])
      const url = `http://127.0.0.1:${port}`
      await answers(url)
      args.push('--l1', url, '--da', 'calldata')
    } else {
      args.push('--l1-port', '0')
    }
    const network = start(oceanid, args)
    const deadline = Date.now() + START_TIMEOUT
    while (!existsSync(config)) {
      if (network.exitCode !== null || network.signalCode !== null || !children.includes(network)) {
        throw new Error(`oceanid dev ended: ${network.signalCode ?? network.exitCode ?? 'it cannot be run'}`)
      }
      if (Date.now() > deadline) throw new Error(`oceanid dev was not ready after ${START_TIMEOUT / 1000} s`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    process.env.OCEANID_CONFIG = config
    return stop
  } catch (error) {
    await stop()
    throw error
  }
}

/** A port below those that systems give to outgoing connections, one of which could take it before the server listens. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}

async function answers(url) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
  for (const deadline = Date.now() + START_TIMEOUT; Date.now() < deadline; ) {
    try {
      if ((await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).ok) return
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`${url} does not answer`)
}

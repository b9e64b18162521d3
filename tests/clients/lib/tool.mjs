// Running command line tools from npm packages.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'

const run = promisify(execFile)
const bin = fileURLToPath(new URL('../node_modules/.bin/', import.meta.url))

/** Runs `name` of node_modules/.bin and returns its trimmed output; a failure carries what the tool said. */
export async function tool(name, args, options = {}) {
  try {
    const { stdout } = await run(`${bin}${name}`, args, { maxBuffer: 64 << 20, ...options, env: { ...process.env, FOUNDRY_DISABLE_NIGHTLY_WARNING: '1', ...options.env } })
    return stdout.trim()
  } catch (error) {
    throw new Error(`${name} ${args.join(' ')}\n${error.stdout ?? ''}${error.stderr ?? error.message}`)
  }
}

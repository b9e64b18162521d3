// Running command line tools from npm packages.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'

const run = promisify(execFile)
const { resolve } = createRequire(import.meta.url)
const cpu = { x64: 'amd64', arm64: 'arm64' }[process.arch]

/** Runs `cast` or `forge` and returns its trimmed output; a failure carries what the tool said. */
export async function tool(name, args, options = {}) {
  // The program itself: its npm launcher ends with 0 whatever it ended with.
  const program = resolve(`@foundry-rs/${name}-${process.platform}-${cpu}/bin/${name}${process.platform === 'win32' ? '.exe' : ''}`)
  try {
    const { stdout } = await run(program, args, { maxBuffer: 64 << 20, ...options, env: { ...process.env, FOUNDRY_DISABLE_NIGHTLY_WARNING: '1', ...options.env } })
    return stdout.trim()
  } catch (error) {
    throw new Error(`${name} ${args.join(' ')}\n${error.stdout ?? ''}${error.stderr ?? error.message}`)
  }
}

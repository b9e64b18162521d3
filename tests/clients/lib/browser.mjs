// Chromium, as Debian packages it (`apt-get install chromium`), driven over its debugging protocol.
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The browser's path; CHROMIUM names one that is elsewhere. */
export function findBrowser() {
  const path = process.env.CHROMIUM ?? PLACES.find(existsSync)
  if (!path) throw new Error('no Chromium: apt-get install chromium, or name one in CHROMIUM')
  return path
}

/** Runs `work` with a headless browser and closes it whatever happens. */
export async function withBrowser(work) {
  // The sandbox of Chromium needs rights that containers seldom give; all it sees here is this network's own pages.
  const browser = await chromium.launch({ executablePath: findBrowser(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    return await work(browser)
  } finally {
    await browser.close()
  }
}

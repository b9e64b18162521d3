// A project without sources: contracts come compiled. URL and KEY are set by ../items/hardhat.mjs.
module.exports = {
  solidity: '0.8.28',
  defaultNetwork: 'oceanid',
  networks: { oceanid: { url: process.env.URL ?? 'http://127.0.0.1:9545', accounts: process.env.KEY ? [process.env.KEY] : [] } },
}

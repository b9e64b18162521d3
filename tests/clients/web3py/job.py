"""What a Python program does with web3.py: deploy, call, send, read events. Arguments by environment; prints JSON."""

import json
import os

from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

w3 = Web3(Web3.HTTPProvider(os.environ["URL"]))
# Headers carry more than 32 bytes of extra data, as on chains with proof of authority.
w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
account = w3.eth.account.from_key(os.environ["KEY"])
abi, bytecode, receiver = json.loads(os.environ["ABI"]), os.environ["BYTECODE"], os.environ["RECEIVER"]


def mined(transaction):
    filled = {"from": account.address, "nonce": w3.eth.get_transaction_count(account.address), **transaction}
    filled.setdefault("gas", w3.eth.estimate_gas(filled))
    tip = w3.eth.max_priority_fee
    filled.setdefault("maxFeePerGas", 2 * w3.eth.get_block("latest")["baseFeePerGas"] + tip)
    filled.setdefault("maxPriorityFeePerGas", tip)
    filled.setdefault("chainId", w3.eth.chain_id)
    signed = account.sign_transaction(filled)
    return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction), timeout=30, poll_latency=0.1)


before = w3.eth.get_balance(receiver)
paid = mined({"to": receiver, "value": w3.to_wei(1, "ether")})
factory = w3.eth.contract(abi=abi, bytecode=bytecode)
deployed = mined(factory.constructor("Wave", "WAV", 500).build_transaction({"from": account.address}))
token = w3.eth.contract(address=deployed["contractAddress"], abi=abi)
sent = mined(token.functions.transfer(receiver, 9).build_transaction({"from": account.address}))
events = token.events.Transfer().get_logs(from_block=deployed["blockNumber"])
history = w3.eth.fee_history(2, "latest", [50])
try:
    token.functions.transfer(receiver, 10_000).call({"from": account.address})
    refused = ""
except Exception as error:  # what it is called depends on the contract's error
    refused = type(error).__name__

print(
    json.dumps(
        {
            "client": w3.client_version,
            "paid": paid["status"],
            "received": str(w3.eth.get_balance(receiver) - before),
            "symbol": token.functions.symbol().call(),
            "balance": token.functions.balanceOf(receiver).call(),
            "sent": sent["status"],
            "events": len(events),
            "baseFees": len(history["baseFeePerGas"]),
            "pending": w3.eth.get_transaction_count(account.address, "pending"),
            "refused": refused,
        }
    )
)

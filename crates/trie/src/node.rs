//! One trie node, decoded without copying and checked against every rule of a canonical node.

use crate::error::NodeFault;
use alloy_primitives::B256;
use alloy_rlp::{EMPTY_LIST_CODE, EMPTY_STRING_CODE, Header};
use alloy_trie::Nibbles;

/// Nibbles of a key: every key is a keccak256 hash.
pub(crate) const KEY_NIBBLES: usize = 64;
/// Children of a branch.
pub(crate) const BRANCH_CHILDREN: usize = 16;
/// Items of a branch's list: its children and a value, which is always empty here.
const BRANCH_ITEMS: usize = BRANCH_CHILDREN + 1;
/// A child's RLP below this size in bytes is embedded in its parent; from this size on the parent holds its hash.
const HASHED_FROM: usize = 32;
/// First byte of a child reference that is a hash: the header of a 32-byte string.
const HASH_HEADER: u8 = EMPTY_STRING_CODE + 32;

/// Flags of the first hex-prefix nibble (Yellow Paper, appendix C).
const FLAG_ODD: u8 = 1;
const FLAG_LEAF: u8 = 2;
const FLAG_MAX: u8 = 3;

/// A decoded node. Child references are RLP items: a hash (33 bytes) or an embedded node (below 32 bytes).
pub(crate) enum Node<'a> {
    /// The rest of a key and its value.
    Leaf { key: Nibbles, value: &'a [u8] },
    /// A shared path of at least one nibble, and the branch behind it.
    Extension { key: Nibbles, child: &'a [u8] },
    /// Sixteen children, at least two of them present; an empty slice is an absent child.
    Branch { children: [&'a [u8]; BRANCH_CHILDREN] },
}

impl<'a> Node<'a> {
    /// Decodes the node at a path of `depth` nibbles.
    pub(crate) fn decode(rlp: &'a [u8], depth: usize) -> Result<Self, NodeFault> {
        let mut rest = rlp;
        let mut payload = Header::decode_bytes(&mut rest, true).map_err(NodeFault::Rlp)?;
        if !rest.is_empty() {
            return Err(NodeFault::TrailingBytes);
        }

        let mut items = [&[][..]; BRANCH_ITEMS];
        let mut count = 0;
        while !payload.is_empty() {
            let item = split_item(&mut payload)?;
            *items.get_mut(count).ok_or(NodeFault::ItemCount(count + 1))? = item;
            count += 1;
        }
        match count {
            2 => Self::decode_short(items[0], items[1], depth),
            BRANCH_ITEMS => Self::decode_branch(items, depth),
            other => Err(NodeFault::ItemCount(other)),
        }
    }

    fn decode_short(mut path: &'a [u8], mut item: &'a [u8], depth: usize) -> Result<Self, NodeFault> {
        let path = Header::decode_bytes(&mut path, false).map_err(NodeFault::Rlp)?;
        let (&first, pairs) = path.split_first().ok_or(NodeFault::Path)?;
        let (flags, nibble) = (first >> 4, first & 0x0f);
        let odd = flags & FLAG_ODD != 0;
        if flags > FLAG_MAX || (!odd && nibble != 0) {
            return Err(NodeFault::Path);
        }
        let end = depth + 2 * pairs.len() + usize::from(odd);
        if end > KEY_NIBBLES {
            return Err(NodeFault::Depth);
        }
        let mut key = Nibbles::new();
        if odd {
            key.push(nibble);
        }
        key.extend(&Nibbles::unpack(pairs));

        if flags & FLAG_LEAF != 0 {
            if end != KEY_NIBBLES {
                return Err(NodeFault::Depth);
            }
            let value = Header::decode_bytes(&mut item, false).map_err(NodeFault::Rlp)?;
            return Ok(Self::Leaf { key, value });
        }
        if key.is_empty() {
            return Err(NodeFault::Path);
        }
        if end == KEY_NIBBLES {
            return Err(NodeFault::Depth);
        }
        check_child(item)?;
        Ok(Self::Extension { key, child: item })
    }

    fn decode_branch(items: [&'a [u8]; BRANCH_ITEMS], depth: usize) -> Result<Self, NodeFault> {
        if depth >= KEY_NIBBLES {
            return Err(NodeFault::Depth);
        }
        if items[BRANCH_CHILDREN] != [EMPTY_STRING_CODE] {
            return Err(NodeFault::BranchValue);
        }
        let mut children = [&[][..]; BRANCH_CHILDREN];
        let mut present = 0;
        for (child, item) in children.iter_mut().zip(items) {
            if item != [EMPTY_STRING_CODE] {
                check_child(item)?;
                *child = item;
                present += 1;
            }
        }
        if present < 2 {
            return Err(NodeFault::BranchTooSmall);
        }
        Ok(Self::Branch { children })
    }
}

/// The hash a child reference holds, or `None` if the reference is the embedded node itself.
pub(crate) fn child_hash(child: &[u8]) -> Option<B256> {
    match child.split_first() {
        Some((&HASH_HEADER, hash)) => B256::try_from(hash).ok(),
        _ => None,
    }
}

/// Splits the next RLP item, header included, off a list's payload.
fn split_item<'a>(payload: &mut &'a [u8]) -> Result<&'a [u8], NodeFault> {
    let start = *payload;
    let mut rest = start;
    // `decode` has checked that the item's payload is there.
    let Header { payload_length, .. } = Header::decode(&mut rest).map_err(NodeFault::Rlp)?;
    let (item, rest) = start.split_at(start.len() - rest.len() + payload_length);
    *payload = rest;
    Ok(item)
}

fn check_child(item: &[u8]) -> Result<(), NodeFault> {
    let hash = item.len() == HASHED_FROM + 1 && item[0] == HASH_HEADER;
    let embedded = item.len() < HASHED_FROM && item[0] >= EMPTY_LIST_CODE;
    if hash || embedded { Ok(()) } else { Err(NodeFault::ChildReference) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    fn fault(rlp: &[u8], depth: usize) -> NodeFault {
        match Node::decode(rlp, depth) {
            Ok(_) => panic!("decoded {}", hex::encode(rlp)),
            Err(fault) => fault,
        }
    }

    /// A list of already encoded items.
    fn list(items: &[&[u8]]) -> alloc::vec::Vec<u8> {
        let payload = items.concat();
        let mut out = alloc::vec::Vec::new();
        Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend_from_slice(&payload);
        out
    }

    #[test]
    fn every_rule_has_its_own_fault() {
        const NONE: &[u8] = &[0x80];
        let leaf = hex!("c22001"); // empty rest of key, value 0x01
        assert!(matches!(Node::decode(&leaf, 64), Ok(Node::Leaf { .. })));
        assert_eq!(fault(&leaf, 63), NodeFault::Depth);
        assert_eq!(fault(&[leaf.as_slice(), &[0]].concat(), 64), NodeFault::TrailingBytes);
        assert!(matches!(fault(&[], 0), NodeFault::Rlp(_)));
        assert!(matches!(fault(&hex!("c42001"), 64), NodeFault::Rlp(_)));
        assert!(matches!(fault(&hex!("8120"), 64), NodeFault::Rlp(_)));
        assert_eq!(fault(&hex!("c0"), 0), NodeFault::ItemCount(0));
        assert_eq!(fault(&hex!("c3200101"), 64), NodeFault::ItemCount(3));
        assert_eq!(fault(&list(&[NONE; 18]), 0), NodeFault::ItemCount(18));
        assert_eq!(fault(&hex!("c28001"), 64), NodeFault::Path, "no flag byte");
        assert_eq!(fault(&hex!("c22101"), 64), NodeFault::Path, "even path with a nibble beside the flag");
        assert_eq!(fault(&hex!("c24001"), 64), NodeFault::Path, "unknown flag");
        assert_eq!(fault(&list(&[&[0x00], &leaf]), 0), NodeFault::Path, "empty extension");
        assert_eq!(fault(&list(&[&[0x11], &leaf]), 63), NodeFault::Depth);
        assert_eq!(fault(&list(&[&[0x11], NONE]), 0), NodeFault::ChildReference);
        assert_eq!(fault(&list(&[&[0x11], &[0x9f; 32]]), 0), NodeFault::ChildReference, "31-byte string");

        let mut items = [NONE; 17];
        items[3] = &leaf;
        assert_eq!(fault(&list(&items), 63), NodeFault::BranchTooSmall);
        items[9] = &leaf;
        assert!(matches!(Node::decode(&list(&items), 63), Ok(Node::Branch { .. })));
        assert_eq!(fault(&list(&items), 64), NodeFault::Depth);
        items[16] = &[0x01];
        assert_eq!(fault(&list(&items), 63), NodeFault::BranchValue);
        items[16] = NONE;
        let long = list(&[&[0x20], &[0x9e; 31]]);
        items[9] = &long;
        assert_eq!(fault(&list(&items), 63), NodeFault::ChildReference, "embedded node of 33 bytes");
    }

    #[test]
    fn a_path_longer_than_a_key_is_refused() {
        let mut path = [0xa1; 34]; // header of a 33-byte string
        path[1] = 0x00;
        let rlp = list(&[&path, &[0x01]]);
        assert_eq!(fault(&rlp, 1), NodeFault::Depth);
        path = [0xff; 34];
        path[0] = 0xa1;
        path[1] = 0x20;
        assert_eq!(fault(&list(&[&path, &[0x01]]), 1), NodeFault::Depth);
        assert!(matches!(Node::decode(&list(&[&path, &[0x01]]), 0), Ok(Node::Leaf { .. })));
        let mut longer = [0xff; 35]; // 66 nibbles
        longer[0] = 0xa2;
        longer[1] = 0x20;
        assert_eq!(fault(&list(&[&longer, &[0x01]]), 0), NodeFault::Depth);
    }
}

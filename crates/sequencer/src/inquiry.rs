//! What a node without a record of its votes asks the committee before it begins one: is the chain new, and what time is it.
//!
//! An empty store cannot tell a new chain from a lost one, and a node's own clock cannot tell that it is wrong. So the node states its
//! clock to every peer, and each peer answers with its own and with whether it **vouches**: it stands in the first epoch, and no vote of
//! the node can have escaped it, and it knows of none. Three things follow from the answers of the other members ([`Inquiry::judge`]):
//!
//! * too few clocks that agree: the record does not begin;
//! * a quorum vouches, this node included: the record begins with the chain;
//! * more refuse to vouch than may be at fault: the chain has begun without this node, or with votes that it has forgotten.

use std::collections::BTreeMap;

use bytes::Buf;

use crate::{committees::Seated, types::Identity};

/// Bytes of a statement: whether it asks, whether it vouches, clock (u64, big endian).
pub(crate) const MESSAGE_BYTES: usize = 10;
/// Messages a second and peer: a question and an answer every [`crate::orchestrator::ASK_EVERY`], and room.
pub(crate) const RATE: u32 = 16;
/// Peers of which an answer is kept: more than there can be members.
const MAX_ANSWERS: usize = 1_024;

/// What one node says to another about the beginning of that one's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// An answer is wanted.
    pub(crate) asks: bool,
    /// The speaker vouches that the addressee has not voted on this chain.
    pub(crate) vouches: bool,
    /// The speaker's clock, seconds since 1970.
    pub(crate) clock: u64,
}

impl Statement {
    pub(crate) fn encode(self) -> bytes::Bytes {
        let head = [u8::from(self.asks), u8::from(self.vouches)];
        bytes::Bytes::from([head.as_slice(), &self.clock.to_be_bytes()].concat())
    }

    /// None for anything but the canonical form.
    pub(crate) fn decode(mut message: impl Buf) -> Option<Self> {
        let mut bytes = [0; MESSAGE_BYTES];
        if message.remaining() != bytes.len() {
            return None;
        }
        message.copy_to_slice(&mut bytes);
        let (head, clock) = bytes.split_first_chunk::<2>()?;
        let flag = |byte| match byte {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        Some(Self { asks: flag(head[0])?, vouches: flag(head[1])?, clock: u64::from_be_bytes(clock.try_into().ok()?) })
    }
}

/// The newest answer of each peer.
#[derive(Debug, Default)]
pub(crate) struct Inquiry(BTreeMap<Identity, Answer>);

#[derive(Clone, Copy, Debug)]
struct Answer {
    vouches: bool,
    /// The peer's clock less this node's, seconds.
    ahead: i64,
}

/// What the answers of a committee amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Not enough members have answered by a clock like this node's.
    Unheard {
        /// Other members that did.
        heard: usize,
        /// That are needed.
        needed: usize,
    },
    /// More have answered by another clock than may be at fault.
    Clock {
        /// The middle one of theirs less this node's, seconds.
        ahead: i64,
    },
    /// Clocks agree; whether the chain is new is not clear.
    Unclear,
    /// A quorum, this node included, knows of no vote of this node.
    New,
    /// Among those that do not vouch is somebody honest.
    Begun,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unheard { heard, needed } => write!(
                f,
                "it has no record of its votes and waits to hear from {needed} other members, of which {heard} have answered (members \
                 refuse connections of a node whose clock is wrong)"
            ),
            Self::Clock { ahead } => {
                let (by, which) = (ahead.unsigned_abs(), if *ahead > 0 { "behind" } else { "ahead of" });
                write!(f, "its clock is {by} s {which} the committee's: set the clock")
            }
            Self::Unclear => {
                f.write_str("it has no record of its votes, and those it can reach do not settle whether the chain has begun")
            }
            Self::New | Self::Begun => f.write_str("its record begins"),
        }
    }
}

impl Inquiry {
    /// Takes a peer's statement, heard at `now` by this node's clock (seconds since 1970).
    pub(crate) fn hear(&mut self, peer: Identity, statement: Statement, now: u64) {
        if self.0.len() < MAX_ANSWERS || self.0.contains_key(&peer) {
            let ahead = i64::try_from(i128::from(statement.clock) - i128::from(now)).unwrap_or(i64::MAX);
            self.0.insert(peer, Answer { vouches: statement.vouches, ahead });
        }
    }

    /// Whether anybody, member or not, said that the chain has begun.
    pub(crate) fn somebody_refuses(&self) -> bool {
        self.0.values().any(|answer| !answer.vouches)
    }

    /// What the members of a committee have said. Clocks agree within `margin` seconds.
    pub(crate) fn judge(&self, seated: &Seated, margin: u64) -> Finding {
        let members = seated.committee.members.len();
        let quorum = seated.committee.quorum();
        let faults = members - quorum;
        let needed = quorum - usize::from(seated.seat.is_some());
        let me = seated.seat.and_then(|seat| seated.identities.get(seat as usize));
        let others = seated.identities.iter().filter(|identity| Some(*identity) != me);
        let answers: Vec<Answer> = others.filter_map(|identity| self.0.get(identity).copied()).collect();
        let (agreeing, differing): (Vec<Answer>, Vec<Answer>) =
            answers.iter().partition(|answer| answer.ahead.unsigned_abs() <= margin);
        if agreeing.len() < needed {
            let mut clocks: Vec<i64> = differing.iter().map(|answer| answer.ahead).collect();
            clocks.sort_unstable();
            return match clocks.get(clocks.len() / 2) {
                Some(middle) if clocks.len() > faults => Finding::Clock { ahead: *middle },
                _ => Finding::Unheard { heard: agreeing.len(), needed },
            };
        }
        let refusing = answers.iter().filter(|answer| !answer.vouches).count();
        if agreeing.iter().filter(|answer| answer.vouches).count() >= needed {
            Finding::New
        } else if refusing > faults {
            Finding::Begun
        } else {
            Finding::Unclear
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Committees, NodeKeys};
    use alloy_primitives::B256;
    use commonware_cryptography::Signer as _;
    use oceanid_primitives::{Committee, Member};

    fn keys(index: u8) -> NodeKeys {
        NodeKeys::derive(&[index + 1; 32]).unwrap()
    }

    fn identity(index: u8) -> Identity {
        keys(index).identity_signer().public_key()
    }

    #[test]
    fn fuzz_statements() {
        let statement = Statement { asks: true, vouches: false, clock: 1_700_000_000 };
        oceanid_fuzz::bytes("statements", &[statement.encode().to_vec()], |input| {
            let Some(statement) = Statement::decode(input) else { return false };
            assert_eq!(statement.encode(), input, "one encoding");
            let mut inquiry = Inquiry::default();
            inquiry.hear(identity(1), statement, 1_700_000_000);
            true
        });
    }

    /// A committee of nodes 0 to `size` - 1, as node `me` sees it.
    fn seated(size: u8, me: u8) -> Seated {
        let mut members: Vec<Member> = (0..size)
            .map(|index| Member {
                id: u64::from(index),
                identity: keys(index).identity(),
                bls_key: keys(index).bls_compressed(),
                weight: 1,
            })
            .collect();
        members.sort_by_key(|member| member.identity);
        Committees::new(b"TEST", Some(keys(me))).prepare(Committee { id: 1, seed: B256::ZERO, members }).unwrap()
    }

    /// What node 0 of `size` finds, given what others say: node, vouches, clock less its own.
    fn found(size: u8, said: &[(u8, bool, i64)]) -> Finding {
        const NOW: u64 = 1_000_000;
        let mut inquiry = Inquiry::default();
        for (node, vouches, ahead) in said {
            let clock = NOW.checked_add_signed(*ahead).unwrap();
            inquiry.hear(identity(*node), Statement { asks: false, vouches: *vouches, clock }, NOW);
        }
        inquiry.judge(&seated(size, 0), 10)
    }

    #[test]
    fn a_quorum_says_that_the_chain_is_new_and_more_than_a_third_that_it_is_not() {
        assert_eq!(found(1, &[]), Finding::New, "nobody else could know");
        assert_eq!(found(4, &[(1, true, 0)]), Finding::Unheard { heard: 1, needed: 2 });
        assert_eq!(found(4, &[(1, true, 0), (9, true, 0)]), Finding::Unheard { heard: 1, needed: 2 }, "strangers do not count");
        assert_eq!(found(4, &[(1, true, 0), (0, true, 0)]), Finding::Unheard { heard: 1, needed: 2 }, "nor does the node itself");
        assert_eq!(found(4, &[(1, true, 0), (2, true, -10)]), Finding::New);
        assert_eq!(found(4, &[(1, true, 0), (2, false, 0)]), Finding::Unclear);
        // One liar neither keeps the others from starting nor makes a lost node vote.
        assert_eq!(found(4, &[(1, true, 0), (2, false, 0), (3, true, 0)]), Finding::New);
        assert_eq!(found(4, &[(1, true, 0), (2, false, 0), (3, false, 0)]), Finding::Begun);
        let seven = |vouching: u8| found(7, &(1..7).map(|node| (node, node <= vouching, 0)).collect::<Vec<_>>());
        assert_eq!([3, 4].map(seven), [Finding::Begun, Finding::New]);
    }

    #[test]
    fn a_clock_that_most_members_do_not_share_is_named() {
        assert_eq!(found(4, &[(1, true, 3_600), (2, true, 3_601), (3, true, 3_599)]), Finding::Clock { ahead: 3_600 });
        assert_eq!(found(4, &[(1, true, 0), (2, true, -11)]), Finding::Unheard { heard: 1, needed: 2 });
        assert_eq!(found(4, &[(1, true, 0), (2, true, -11), (3, true, -11)]), Finding::Clock { ahead: -11 });
        assert_eq!(found(4, &[(1, true, 0), (2, true, -11), (3, true, 0)]), Finding::New, "one member's clock is wrong");
        let text = Finding::Clock { ahead: 3_600 }.to_string();
        assert!(text.contains("3600 s behind"), "{text}");
        let text = Finding::Clock { ahead: i64::MIN }.to_string();
        assert!(text.contains("ahead of"), "{text}");
    }

    #[test]
    fn statements_round_trip_and_hostile_bytes_are_refused() {
        let statement = Statement { asks: true, vouches: false, clock: u64::MAX };
        let bytes = statement.encode();
        assert_eq!(Statement::decode(bytes.as_ref()), Some(statement));
        let mut inquiry = Inquiry::default();
        inquiry.hear(identity(1), statement, 0);
        assert!(inquiry.somebody_refuses());
        for end in 0..bytes.len() {
            assert_eq!(Statement::decode(&bytes[..end]), None);
        }
        for (at, value) in [(0, 2), (1, 0xff)] {
            let mut other = bytes.to_vec();
            other[at] = value;
            assert_eq!(Statement::decode(other.as_slice()), None);
        }
        assert_eq!(Statement::decode([bytes.as_ref(), &[0]].concat().as_slice()), None);
    }
}

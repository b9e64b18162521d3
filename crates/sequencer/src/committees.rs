//! Committees by epoch: the signing scheme of each, its leaders, and the names of its members.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use alloy_primitives::B256;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    simplex::elector::{self, Scheduled, Terms},
    types::{Epoch, Participant, Round},
};
use commonware_cryptography::{
    Signer as _,
    bls12381::primitives::group::G2,
    certificate::{Provider, Scoped},
    ed25519,
};
use commonware_utils::ordered::{BiMap, Set};
use oceanid_primitives::Committee;
use parking_lot::RwLock;

use crate::{
    NodeKeys,
    types::{Identity, Scheme},
};

/// Why a committee of the registry cannot run consensus. `SequencerPool` checks all of this at registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeKeyError {
    /// Identity is not a point of edwards25519.
    #[error("member {index}: identity {identity} is not an ed25519 public key")]
    Identity {
        /// Position in the committee.
        index: usize,
        /// The bytes.
        identity: B256,
    },
    /// Consensus key is not a point of G2 in the right subgroup.
    #[error("member {index}: BLS key is not a point of G2")]
    Bls {
        /// Position in the committee.
        index: usize,
    },
    /// Two seats share an identity or a consensus key.
    #[error("two members share a key")]
    Duplicate,
}

/// The members' keys in the form the signing scheme takes, in committee order.
pub(crate) fn member_keys(committee: &Committee) -> Result<BiMap<Identity, G2>, CommitteeKeyError> {
    let mut keys = Vec::with_capacity(committee.members.len());
    for (index, member) in committee.members.iter().enumerate() {
        let identity = Identity::decode(Copying(member.identity.as_slice()))
            .map_err(|_| CommitteeKeyError::Identity { index, identity: member.identity })?;
        let bls = G2::decode(Copying(member.bls_key.as_slice())).map_err(|_| CommitteeKeyError::Bls { index })?;
        keys.push((identity, bls));
    }
    BiMap::try_from(keys).map_err(|_| CommitteeKeyError::Duplicate)
}

/// A committee made ready to vote.
#[derive(Clone, Debug)]
pub(crate) struct Seated {
    pub(crate) committee: Arc<Committee>,
    pub(crate) scheme: Arc<Scheme>,
    /// The same without this node's key.
    pub(crate) observer: Arc<Scheme>,
    pub(crate) identities: Set<Identity>,
    /// This node's position in it, if it can sign for it.
    pub(crate) seat: Option<u32>,
}

/// Directory of committees by epoch, shared by everything that has to check a signature or name a leader.
#[derive(Clone)]
pub struct Committees {
    namespace: Arc<[u8]>,
    keys: Option<NodeKeys>,
    seated: Arc<RwLock<BTreeMap<u64, Arc<Seated>>>>,
}

impl core::fmt::Debug for Committees {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Committees").field("epochs", &self.seated.read().keys().collect::<Vec<_>>()).finish()
    }
}

/// Stands for a leader whose committee is not known here: nobody holds a seat under it, so a block that names it as the leader
/// matches no consensus context.
static NOBODY: LazyLock<Identity> = LazyLock::new(|| ed25519::PrivateKey::from_seed(u64::MAX).public_key());

impl Committees {
    /// An empty directory. Without `keys` every scheme only verifies.
    pub fn new(namespace: &[u8], keys: Option<NodeKeys>) -> Self {
        Self { namespace: namespace.into(), keys, seated: Arc::default() }
    }

    /// Makes the committee of `epoch` known. The first one stays until it is forgotten.
    pub(crate) fn seat(&self, epoch: u64, committee: Committee) -> Result<Arc<Seated>, CommitteeKeyError> {
        if let Some(seated) = self.get(epoch) {
            return Ok(seated);
        }
        let seated = Arc::new(self.prepare(committee)?);
        self.seated.write().insert(epoch, seated.clone());
        Ok(seated)
    }

    /// Makes a committee ready to vote or to be checked.
    pub(crate) fn prepare(&self, committee: Committee) -> Result<Seated, CommitteeKeyError> {
        let members = member_keys(&committee)?;
        let identities = members.keys().clone();
        let signer = self.keys.as_ref().and_then(|keys| {
            let seat = committee.index_of(&keys.identity())? as u32;
            Some((seat, keys.voting_scheme(&self.namespace, &committee)?))
        });
        let observer = Arc::new(Scheme::verifier(&self.namespace, members));
        let (seat, scheme) = signer.map_or((None, observer.clone()), |(seat, scheme)| (Some(seat), Arc::new(scheme)));
        Ok(Seated { committee: Arc::new(committee), scheme, observer, identities, seat })
    }

    pub(crate) fn get(&self, epoch: u64) -> Option<Arc<Seated>> {
        self.seated.read().get(&epoch).cloned()
    }

    /// Forgets epochs before `epoch`.
    pub(crate) fn forget_before(&self, epoch: u64) {
        self.seated.write().retain(|known, _| *known >= epoch);
    }

    /// Forgets epochs after `epoch`: a recovery begins them anew.
    pub(crate) fn forget_after(&self, epoch: u64) {
        self.seated.write().retain(|known, _| *known <= epoch);
    }

    /// Identity of the member at `index` in the committee of `epoch`, or a name nobody holds.
    pub(crate) fn identity(&self, epoch: u64, index: u32) -> Identity {
        self.get(epoch).and_then(|seated| seated.identities.get(index as usize).cloned()).unwrap_or_else(|| NOBODY.clone())
    }
}

impl Provider for Committees {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.get(epoch.get()).map(|seated| Scoped::scheme(seated.scheme.clone()))
    }
}

/// Leaders drawn by stake, as [`Committee::leader`] says. Scheduled: known for the whole epoch once its committee is.
#[derive(Clone, Debug)]
pub(crate) struct StakeElector(pub(crate) Arc<Committee>);

impl elector::Config<Scheme> for StakeElector {
    type Elector = Self;

    fn build(self, participants: &Set<Identity>) -> Self {
        assert_eq!(participants.len(), self.0.members.len(), "the elector and the scheme are of one committee");
        self
    }
}

impl elector::Elector<Scheme> for StakeElector {
    type Mode = Scheduled;

    fn terms(&self) -> Terms {
        Terms::rotating()
    }

    fn elect(&self, round: Round, (): ()) -> Participant {
        Participant::new(self.0.leader(round.epoch().get(), round.view().get()))
    }
}

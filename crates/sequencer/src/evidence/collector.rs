//! The collector: compares what is said in a view with what was said before, and keeps what proves a fault.
//!
//! The consensus library reports two conflicting votes of one signer, unverified, and nothing else. Here every vote and certificate of a view
//! meets every other: votes against votes, votes against certificates, certificates against certificates. Nothing is recorded whose
//! signatures do not verify.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Bytes;
use commonware_actor::Feedback;
use commonware_codec::{Buf, Copying, Decode as _, Encode as _, ReadExt as _};
use commonware_consensus::{
    Epochable, Reporter, Viewable,
    simplex::types::{Finalize, Notarize, Nullification, Nullify},
};
use rand_core::CryptoRng;
use tokio::sync::mpsc;
use tracing::debug;

use super::{
    log::{EvidenceKind, EvidenceLog, EvidenceRecord},
    statement::{Message, VoteKind},
};
use crate::{
    Committees, Execution,
    certificate::{Certificate, decode_finalization},
    committees::Seated,
    status::Attendance,
    types::{Activity, Digest, Scheme},
};

/// Views whose messages are kept for comparison, across epochs.
const VIEWS_KEPT: usize = 512;
/// Messages that may wait for the collector; beyond it they are dropped, which can lose evidence but never consensus.
const QUEUE: usize = 8_192;

/// Something to look at.
pub(super) enum Input {
    /// Consensus reports.
    Activity(Box<Activity>),
    /// Somebody brings a finalisation certificate, encoded.
    Certificate(Bytes),
}

/// Receives consensus activity.
#[derive(Clone)]
pub(crate) struct EvidenceReporter(mpsc::Sender<Input>);

impl EvidenceReporter {
    /// Hands over a finalisation certificate from elsewhere; false if the queue is full.
    pub(crate) fn examine(&self, certificate: Bytes) -> bool {
        self.0.try_send(Input::Certificate(certificate)).is_ok()
    }
}

impl Reporter for EvidenceReporter {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        match self.0.try_send(Input::Activity(Box::new(activity))) {
            Ok(()) => Feedback::Ok,
            Err(mpsc::error::TrySendError::Full(_)) => Feedback::Backoff,
            Err(mpsc::error::TrySendError::Closed(_)) => Feedback::Closed,
        }
    }
}

/// Compares what was reported and keeps what proves a fault.
pub(crate) struct Collector<R> {
    rng: R,
    committees: Committees,
    execution: Arc<dyn Execution>,
    log: EvidenceLog,
    attendance: Attendance,
    inputs: mpsc::Receiver<Input>,
    /// What was seen in each view: the first vote of each kind and signer, the first certificate of each kind.
    views: BTreeMap<(u64, u64), Vec<Message>>,
}

impl<R: CryptoRng> Collector<R> {
    pub(crate) fn new(
        rng: R,
        committees: Committees,
        execution: Arc<dyn Execution>,
        log: EvidenceLog,
        attendance: Attendance,
    ) -> (Self, EvidenceReporter) {
        let (sender, inputs) = mpsc::channel(QUEUE);
        (Self { rng, committees, execution, log, attendance, inputs, views: BTreeMap::new() }, EvidenceReporter(sender))
    }

    pub(crate) async fn run(mut self) {
        while let Some(input) = self.inputs.recv().await {
            match input {
                Input::Activity(activity) => self.observe(*activity),
                Input::Certificate(certificate) => self.examine(&certificate),
            }
        }
    }

    fn observe(&mut self, activity: Activity) {
        let at = (activity.epoch().get(), activity.view().get());
        let messages = match activity {
            Activity::Notarize(vote) => vec![Message::Notarize(vote)],
            Activity::Nullify(vote) => vec![Message::Nullify(vote)],
            Activity::Finalize(vote) => vec![Message::Finalize(vote)],
            // Certificates come here checked by the engine.
            Activity::Notarization(certificate) | Activity::Certification(certificate) => {
                vec![Message::Notarization(certificate)]
            }
            Activity::Nullification(certificate) => {
                self.log.archive(at, certificate.encode().to_vec());
                vec![Message::Nullification(certificate)]
            }
            Activity::Finalization(certificate) => vec![Message::Finalization(certificate)],
            // The library keeps the two votes to itself; their encoding does not.
            Activity::ConflictingNotarize(conflict) => halves(&mut conflict.encode(), notarize, notarize),
            Activity::ConflictingFinalize(conflict) => halves(&mut conflict.encode(), finalize, finalize),
            Activity::NullifyFinalize(conflict) => halves(&mut conflict.encode(), nullify, finalize),
        };
        let Some(seated) = self.committees.get(at.0) else { return };
        for message in messages {
            self.attendance.note_signers(at.0, message.signers());
            if let Some(voter) = message.voter() {
                self.attendance.note(at.0, at.1, voter);
            }
            self.compare(at, &seated, message);
        }
    }

    /// A finalisation certificate from elsewhere, perhaps of a past epoch.
    fn examine(&mut self, encoded: &[u8]) {
        let Ok(certificate) = Certificate::decode(encoded) else { return };
        let (epoch, view) = (certificate.epoch, certificate.view);
        let seated = self.committees.get(epoch).or_else(|| {
            let committee = self.execution.committee_of_epoch(epoch)?;
            self.committees.prepare(committee).ok().map(Arc::new)
        });
        let Some(seated) = seated else {
            debug!(epoch, "a certificate of an epoch whose committee is not known");
            return;
        };
        let Some(finalization) = decode_finalization(encoded, seated.committee.members.len()) else { return };
        let message = Message::Finalization(finalization);
        if message.verify(&mut self.rng, &seated.observer) {
            self.compare((epoch, view), &seated, message);
        }
    }

    /// Compares a message with what its view has; it joins that if it is the first of its kind.
    fn compare(&mut self, at: (u64, u64), seated: &Seated, message: Message) {
        let size = seated.committee.members.len();
        // A view is taken out while it is looked at.
        let mut seen = self.views.remove(&at).unwrap_or_default();
        if message.vote() == VoteKind::Finalize
            && !seen.iter().any(|known| known.voter().is_none() && known.vote() == VoteKind::Nullify)
            && let Some(archived) = self.log.nullification(at)
            && let Ok(nullification) = Nullification::<Scheme>::decode_cfg(Copying(archived.as_slice()), &size)
        {
            seen.push(Message::Nullification(nullification));
        }
        let mut forged = Vec::new();
        let mut sound = None;
        for (place, known) in seen.iter().enumerate().filter(|(_, known)| known.contradicts(&message)) {
            let earlier = known.signers();
            let guilty: Vec<u32> = message.signers().into_iter().filter(|signer| earlier.contains(signer)).collect();
            let kind = kind(known, &message);
            if guilty.is_empty() || self.log.accuses(at.0, kind, &guilty) {
                continue;
            }
            // The new message is checked once, and only if there is something to gain.
            if !*sound.get_or_insert_with(|| message.verify(&mut self.rng, &seated.observer)) {
                break;
            }
            if !known.verify(&mut self.rng, &seated.observer) {
                forged.push(place);
                continue;
            }
            let (Some(first), Some(second)) = (known.statement(), message.statement()) else { continue };
            self.log.push(EvidenceRecord {
                epoch: at.0,
                view: at.1,
                committee_id: seated.committee.id,
                kind,
                identities: guilty.iter().map(|signer| seated.committee.members[*signer as usize].identity).collect(),
                signers: guilty,
                statements: [first, second],
            });
        }
        // A forged vote must not keep out the true one.
        for place in forged.into_iter().rev() {
            seen.remove(place);
        }
        let first = |known: &Message| known.vote() == message.vote() && known.voter() == message.voter();
        if sound != Some(false) && !seen.iter().any(first) {
            seen.push(message);
        }
        self.views.insert(at, seen);
        while self.views.len() > VIEWS_KEPT {
            self.views.pop_first();
        }
    }
}

fn kind(left: &Message, right: &Message) -> EvidenceKind {
    match (left.voter(), right.voter()) {
        (None, None) => EvidenceKind::ConflictingCertificates,
        (Some(_), Some(_)) if left.vote() != right.vote() => EvidenceKind::NullifyFinalize,
        (Some(_), Some(_)) if left.vote() == VoteKind::Notarize => EvidenceKind::ConflictingNotarize,
        (Some(_), Some(_)) => EvidenceKind::ConflictingFinalize,
        _ => EvidenceKind::VoteAgainstCertificate,
    }
}

fn notarize(buf: &mut impl Buf) -> Option<Message> {
    Notarize::<Scheme, Digest>::read(buf).ok().map(Message::Notarize)
}

fn nullify(buf: &mut impl Buf) -> Option<Message> {
    Nullify::<Scheme>::read(buf).ok().map(Message::Nullify)
}

fn finalize(buf: &mut impl Buf) -> Option<Message> {
    Finalize::<Scheme, Digest>::read(buf).ok().map(Message::Finalize)
}

/// Two votes back to back.
fn halves<B: Buf>(buf: &mut B, first: fn(&mut B) -> Option<Message>, second: fn(&mut B) -> Option<Message>) -> Vec<Message> {
    [first(buf), second(buf)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeKeys, block::digest};
    use alloy_primitives::B256;
    use commonware_consensus::{
        simplex::types::{Finalization, Proposal},
        types::{Epoch, Round, View},
    };
    use commonware_parallel::Sequential;
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
    use commonware_utils::iter::NonEmpty;
    use oceanid_primitives::{Committee, Epochs, Member, SealedBlock};

    /// A chain of which only the committee is asked.
    struct Bare(Committee);

    impl Execution for Bare {
        fn genesis(&self) -> Arc<SealedBlock> {
            self.head()
        }

        fn head(&self) -> Arc<SealedBlock> {
            Arc::new(SealedBlock::new(oceanid_primitives::Block { header: Default::default(), body: vec![] }))
        }

        fn final_block(&self, _: u64) -> Option<(B256, u64)> {
            None
        }

        fn epochs(&self) -> Result<Arc<Epochs>, crate::RecoveryRefused> {
            Ok(Arc::new(Epochs::new(10)))
        }

        fn certificate(&self, _: u64) -> Option<Bytes> {
            None
        }

        fn committee_of_epoch(&self, _: u64) -> Option<Committee> {
            Some(self.0.clone())
        }

        fn is_executed(&self, _: B256) -> bool {
            false
        }

        fn has_work(&self, _: B256) -> bool {
            false
        }

        fn propose(&self, _: B256, _: crate::ProposalContext, _: u64) -> Result<Arc<SealedBlock>, crate::ProposeError> {
            Err(crate::ProposeError::Failed("no chain".into()))
        }

        fn verify(&self, _: &Arc<SealedBlock>, _: u64) -> crate::Verdict {
            crate::Verdict::NotYet("no chain".into())
        }

        fn finalize(&self, block: &Arc<SealedBlock>, _: Option<Bytes>) -> Result<(), crate::FinalizeError> {
            Err(crate::FinalizeError { number: block.number(), reason: "no chain".into() })
        }
    }

    struct Fixture {
        schemes: Vec<Scheme>,
        observer: Arc<Scheme>,
        collector: Collector<deterministic::Context>,
        log: EvidenceLog,
    }

    fn fixture(context: deterministic::Context, log: EvidenceLog) -> Fixture {
        let mut keys: Vec<_> = (0..4u8).map(|seed| NodeKeys::derive(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(NodeKeys::identity);
        let members = keys
            .iter()
            .zip(1u64..)
            .map(|(keys, id)| Member { id, identity: keys.identity(), bls_key: keys.bls_compressed(), weight: 1 })
            .collect();
        let committee = Committee { id: 7, seed: B256::ZERO, members };
        let schemes = keys.iter().map(|keys| keys.voting_scheme(b"chain", &committee).unwrap()).collect();
        let committees = Committees::new(b"chain", None);
        let observer = committees.seat(0, committee.clone()).unwrap().observer.clone();
        let execution = Arc::new(Bare(committee));
        let (collector, _) = Collector::new(context, committees, execution, log.clone(), Attendance::default());
        Fixture { schemes, observer, collector, log }
    }

    fn round() -> Round {
        Round::new(Epoch::new(0), View::new(9))
    }

    fn proposal(payload: u8) -> Proposal<Digest> {
        Proposal::new(round(), View::new(8), digest(B256::repeat_byte(payload)))
    }

    impl Fixture {
        fn notarize(&self, member: usize, payload: u8) -> Notarize<Scheme, Digest> {
            Notarize::sign(&self.schemes[member], proposal(payload)).unwrap()
        }

        fn nullification(&self, members: [usize; 3]) -> Nullification<Scheme> {
            let votes = members.map(|member| Nullify::sign::<Digest>(&self.schemes[member], round()).unwrap());
            let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
            Nullification::from_owned_nullifies(self.observer.as_ref(), votes, &Sequential).unwrap()
        }

        fn finalization(&self, members: [usize; 3]) -> crate::types::Finalization {
            let votes = members.map(|member| Finalize::sign(&self.schemes[member], proposal(1)).unwrap());
            let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
            Finalization::from_owned_finalizes(self.observer.as_ref(), votes, &Sequential).unwrap()
        }

        fn found(&self) -> Vec<(EvidenceKind, Vec<u32>)> {
            self.log.records().into_iter().map(|record| (record.kind, record.signers)).collect()
        }
    }

    #[test]
    fn two_votes_convict_and_a_forged_one_neither_convicts_nor_hides() {
        deterministic::Runner::default().start(|context| async move {
            let mut it = fixture(context.child("collector"), EvidenceLog::in_memory());
            // Somebody signs as member 2 what member 2 never signed.
            let mut forged = it.notarize(1, 3);
            forged.attestation.signer = commonware_consensus::types::Participant::new(2);
            it.collector.observe(Activity::Notarize(forged));
            it.collector.observe(Activity::Notarize(it.notarize(2, 1)));
            assert!(it.found().is_empty());
            it.collector.observe(Activity::Notarize(it.notarize(2, 2)));
            assert_eq!(it.found(), [(EvidenceKind::ConflictingNotarize, vec![2])]);
            let record = it.log.records().remove(0);
            assert_eq!((record.epoch, record.view, record.committee_id), (0, 9, 7));
            let [first, second] = &record.statements;
            assert_eq!((first.payload, second.payload), (B256::repeat_byte(1), B256::repeat_byte(2)));
            assert_eq!((first.vote, first.parent_view, first.signers), (VoteKind::Notarize, 8, None));
        });
    }

    #[test]
    fn a_certificate_from_elsewhere_convicts_by_the_archive_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().to_owned();
        deterministic::Runner::default().start(|context| async move {
            let mut it = fixture(context.child("before"), EvidenceLog::open(&directory).unwrap());
            it.collector.observe(Activity::Nullification(it.nullification([0, 1, 2])));
            drop(it);
            let mut it = fixture(context.child("after"), EvidenceLog::open(&directory).unwrap());
            let finalization = it.finalization([1, 2, 3]);
            let mut forged = finalization.clone();
            forged.proposal = proposal(2);
            it.collector.examine(&forged.encode());
            assert!(it.found().is_empty(), "a forged certificate convicts nobody");
            it.collector.examine(&finalization.encode());
            assert_eq!(it.found(), [(EvidenceKind::ConflictingCertificates, vec![1, 2])]);
            let [first, second] = it.log.records().remove(0).statements;
            assert_eq!((first.vote, second.vote), (VoteKind::Nullify, VoteKind::Finalize));
            assert_eq!((first.signers.unwrap().to::<u64>(), second.signers.unwrap().to::<u64>()), (0b0111, 0b1110));
        });
    }

    #[test]
    fn a_vote_against_a_certificate_with_its_bit_is_a_lead() {
        deterministic::Runner::default().start(|context| async move {
            let mut it = fixture(context.child("collector"), EvidenceLog::in_memory());
            it.collector.observe(Activity::Nullification(it.nullification([0, 1, 2])));
            it.collector.observe(Activity::Finalize(Finalize::sign(&it.schemes[1], proposal(1)).unwrap()));
            it.collector.observe(Activity::Finalize(Finalize::sign(&it.schemes[3], proposal(1)).unwrap()));
            assert_eq!(it.found(), [(EvidenceKind::VoteAgainstCertificate, vec![1])]);
            assert!(it.log.pending().is_empty());
        });
    }
}

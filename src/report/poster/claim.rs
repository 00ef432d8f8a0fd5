//! On which claim an outcome is to be shown.

use kube::Client;

use super::{Poster, is_final};
use crate::causes::chain;
use crate::report::ask::ApiError;
use crate::report::claims::Claim;
use crate::report::complaints::Complaint;
use crate::report::objects::Object;
use crate::report::outcome::Outcome;
use crate::report::reporter::News;

impl Poster {
    /// The claim of an outcome, or that there is none, where that is known.
    pub(super) fn known_claim(&mut self, outcome: &Outcome) -> Option<Option<Claim>> {
        let known = self.claims.known(&outcome.volume_id)?;
        let Some(named) = &outcome.claim else {
            return Some(known);
        };
        let is_it = |claim: &Claim| claim.name == named.name && claim.namespace == named.namespace;
        Some(Some(known.filter(is_it).unwrap_or_else(|| Claim {
            namespace: named.namespace.clone(),
            name: named.name.clone(),
            uid: None,
        })))
    }

    pub(super) async fn find_claim(
        &mut self,
        client: &Client,
        outcome: &Outcome,
    ) -> Result<Option<Object>, ApiError> {
        let volume_id = &outcome.volume_id;
        if let Some(pv) = self.outcomes.take_pv_of(volume_id)
            && let Err(error) = self.look_at(client, volume_id, &pv).await
        {
            let news = News::Came(pv);
            self.outcomes.put_back_news(volume_id.clone(), news);
            return Err(error);
        }
        if self.claims.known(volume_id).is_none() {
            let mut wanted = self.outcomes.volumes();
            wanted.insert(volume_id.clone());
            let found = self.claims.look_for(client, wanted.clone()).await;
            if !self.is_answered(found)? {
                self.claims.give_up(wanted);
            }
        }
        let claim = self.known_claim(outcome).flatten();
        Ok(claim.map(Object::claim))
    }

    pub(super) async fn look_at(
        &mut self,
        client: &Client,
        volume_id: &str,
        pv: &str,
    ) -> Result<(), ApiError> {
        let found = self.claims.look_at(client, volume_id, pv).await;
        self.is_answered(found).map(drop)
    }

    /// Whether the API server answered a question about volumes, or refuses to.
    fn is_answered(&mut self, answer: Result<(), ApiError>) -> Result<bool, ApiError> {
        let error = match answer {
            Err(error) => error,
            Ok(()) => {
                self.forbids.looks = None;
                self.complaints.look_answered();
                return Ok(true);
            }
        };
        if !is_final(&error, &mut self.forbids.looks) {
            return Err(error);
        }
        if self.complaints.is_new(Complaint::Look(error.meaning())) {
            let error = chain(&error);
            tracing::warn!(error, "the claims of volumes cannot be looked up");
        }
        Ok(false)
    }
}

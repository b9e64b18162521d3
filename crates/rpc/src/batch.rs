//! How a batch is answered: one request after the other, but transactions that stand next to each other go to the pool together.

use futures::future::join_all;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::{BatchResponseBuilder, MethodResponse};

/// The method whose requests are not waited for one by one.
pub(crate) const SEND: &str = "eth_sendRawTransaction";

/// The layer over the server's own service.
#[derive(Clone, Debug)]
pub(crate) struct Together<S> {
    service: S,
    max_response_bytes: usize,
}

impl<S> Together<S> {
    /// `max_response_bytes` bounds the answer to a whole batch.
    pub(crate) const fn new(service: S, max_response_bytes: u32) -> Self {
        Self { service, max_response_bytes: max_response_bytes as usize }
    }
}

impl<S> RpcServiceT for Together<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, BatchResponse = MethodResponse, NotificationResponse = MethodResponse>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.call(request)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (service, max_response_bytes) = (self.service.clone(), self.max_response_bytes);
        async move {
            let mut answers = BatchResponseBuilder::new_with_limit(max_response_bytes);
            let mut notified = false;
            let mut entries = batch.into_iter().peekable();
            while let Some(entry) = entries.next() {
                let answered = match entry {
                    Ok(BatchEntry::Call(request)) if request.method_name() == SEND => {
                        let mut together = vec![service.call(request)];
                        while let Some(Ok(BatchEntry::Call(next))) =
                            entries.next_if(|entry| matches!(entry, Ok(BatchEntry::Call(next)) if next.method_name() == SEND))
                        {
                            together.push(service.call(next));
                        }
                        join_all(together).await
                    }
                    Ok(BatchEntry::Call(request)) => vec![service.call(request).await],
                    Ok(BatchEntry::Notification(notification)) => {
                        notified = true;
                        service.notification(notification).await;
                        Vec::new()
                    }
                    Err(malformed) => {
                        let (error, id) = malformed.into_parts();
                        vec![MethodResponse::error(id, error)]
                    }
                };
                for answer in answered {
                    if let Err(too_large) = answers.append(answer) {
                        return too_large;
                    }
                }
            }
            // Notifications alone get no answer; an empty batch is a malformed request, which the builder says.
            if answers.is_empty() && notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(answers.finish())
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.notification(notification)
    }
}

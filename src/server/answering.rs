//! Carries the answer to a call from its service to the transport.
//!
//! What must stay true: what a service gives leaves unchanged and in its order; a part is given to the transport when the
//! caller has room for some of it, so that no more than one waits; a call that its caller has given up is given up here.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use hyper::Response;
use hyper::body::Body as HttpBody;
use tonic::body::Body;

use super::conduct::Conduct;
use super::guarded::{Answer, Called, Part};

/// Waits for the answer to a call and sends it.
pub(super) async fn answer<F>(called: Called<F>, mut respond: SendResponse<Part>, conduct: Arc<Conduct>)
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let response = {
        let mut called = pin!(called);
        let answered = poll_fn(|cx| match called.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        });
        // Once it has answered, what the call holds is given back.
        answered.await
    };
    let Some(response) = response else { return };
    let (head, body) = response.into_parts();
    let is_all = body.is_end_stream();
    let sent = match respond.send_response(Response::from_parts(head, ()), is_all) {
        Ok(_) if is_all => Ok(()),
        Ok(stream) => pipe(body, stream, &conduct).await,
        Err(error) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Err(error)
        }
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer was not taken");
    }
}

/// Sends the parts of an answer.
async fn pipe(mut body: Answer, mut stream: SendStream<Part>, conduct: &Arc<Conduct>) -> Result<(), h2::Error> {
    loop {
        let frame = poll_fn(|cx| {
            not_reset(&mut stream, cx)?;
            Pin::new(&mut body).poll_frame(cx).map(Ok::<_, h2::Error>)
        });
        match frame.await? {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(part) => {
                    let is_last = body.is_end_stream();
                    if part.has_remaining() {
                        has_room(&mut stream).await?;
                    }
                    stream.send_data(part, is_last)?;
                    if is_last {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        stream.reserve_capacity(0);
                        return stream.send_trailers(trailers);
                    }
                }
            },
            Some(Err(status)) => {
                tracing::debug!(%status, "an answer has failed");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            None => return stream.send_data(Part::nothing(conduct), true),
        }
    }
}

/// Returns when the caller has room for more.
async fn has_room(stream: &mut SendStream<Part>) -> Result<(), h2::Error> {
    // For one byte: what is asked for here is taken from other calls of the connection until it is used.
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        let room = poll_fn(|cx| {
            not_reset(stream, cx)?;
            Poll::Ready(match ready!(stream.poll_capacity(cx)) {
                Some(room) => room.map(drop),
                None => Err(Reason::CANCEL.into()),
            })
        });
        room.await?;
    }
    Ok(())
}

/// Fails when the caller has given the call up; otherwise whoever polls is woken when that happens.
fn not_reset(stream: &mut SendStream<Part>, cx: &mut Context<'_>) -> Result<(), h2::Error> {
    match stream.poll_reset(cx)? {
        Poll::Ready(reason) => Err(reason.into()),
        Poll::Pending => Ok(()),
    }
}

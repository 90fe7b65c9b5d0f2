//! The routes: what comes in, what goes out, and what is answered when it can't be.

use std::convert::Infallible;
use std::error::Error as _;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// The largest request body that is read.
const BODY_LIMIT: usize = 64 * 1024;

#[derive(Debug, Deserialize)]
struct Hello {
    name: String,
}

#[derive(Debug, Serialize)]
struct Greeting {
    greeting: String,
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct Failure {
    error: String,
}

/// Why a request was turned down.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no such page")]
    NotFound,
    #[error("only {0} is allowed here")]
    Method(&'static str),
    #[error("the body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    #[error("failed to read the body: {0}")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("expected a JSON object like {{\"name\":\"x\"}}: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Read(_) | Error::Json(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Answers one request. Failures become a JSON body with a matching status, never an error of the connection.
pub(crate) async fn handle<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Ok(route(request).await.unwrap_or_else(|error| {
        tracing::debug!(%error, source = error.source(), "request turned down");
        let failure = Failure {
            error: error.to_string(),
        };
        let mut response = json(error.status(), &failure);
        if let Error::Method(allowed) = error {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }))
}

async fn route<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Error>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match (request.uri().path(), request.method()) {
        ("/", &Method::POST) => {
            let hello: Hello = serde_json::from_slice(&read(request.into_body()).await?)?;
            let greeting = format!("Hello, {}!", hello.name);
            Ok(json(StatusCode::OK, &Greeting { greeting }))
        }
        ("/", _) => Err(Error::Method("POST")),
        ("/health", &Method::GET) => Ok(json(StatusCode::OK, &Health { status: "ok" })),
        ("/health", _) => Err(Error::Method("GET")),
        _ => Err(Error::NotFound),
    }
}

async fn read<B>(body: B) -> Result<Bytes, Error>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge),
        Err(error) => Err(Error::Read(error)),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let (status, body) = match serde_json::to_vec(value) {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "failed to write an answer");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let body = Full::<Bytes>::from(body.to_owned());
        let request = Request::builder().method(method).uri(path).body(body)?;
        let response = handle(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.into())?))
    }

    #[tokio::test]
    async fn greets() -> anyhow::Result<()> {
        let (status, body) = ask("POST", "/", r#"{"name":"x"}"#).await?;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"greeting":"Hello, x!"}"#)
        );
        let (status, body) = ask("GET", "/health", "").await?;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
        Ok(())
    }

    #[tokio::test]
    async fn turns_down_what_it_cannot_read() -> anyhow::Result<()> {
        for body in ["", "{", "[]", r#"{"nom":"x"}"#, r#"{"name":1}"#] {
            let (status, answer) = ask("POST", "/", body).await?;
            assert_eq!(status, 400, "{body}");
            assert!(
                answer.starts_with(r#"{"error":"expected a JSON object"#),
                "{answer}"
            );
        }
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_LIMIT));
        assert_eq!(ask("POST", "/", &long).await?.0, 413);
        assert_eq!(ask("GET", "/", "").await?.0, 405);
        assert_eq!(ask("POST", "/health", "").await?.0, 405);
        assert_eq!(ask("GET", "/elsewhere", "").await?.0, 404);
        Ok(())
    }
}

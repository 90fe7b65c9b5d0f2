//! A small JSON service on hyper 1.
//!
//! ```console
//! $ cargo run -- 127.0.0.1:8080
//! listening on http://127.0.0.1:8080
//! $ curl --data '{"name":"x"}' http://127.0.0.1:8080/
//! {"greeting":"Hello, x!"}
//! ```
//!
//! The address is the first argument, else `ADDR`, else `127.0.0.1:8080`; port 0 takes a free one. `RUST_LOG` sets
//! what is logged, and `LOG_FORMAT=json` how. Ctrl-C stops the service once open requests are answered.

mod service;

use std::env;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use hyper::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing_subscriber::EnvFilter;

const DEFAULT_ADDR: &str = "127.0.0.1:8080";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    init_logging();

    let addr = address(env::args().nth(1), env::var("ADDR").ok())?;
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("failed to listen on {addr}"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    stdout.flush()?;

    serve(listener, async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "failed to wait for Ctrl-C");
        }
    })
    .await;
    Ok(())
}

fn init_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.init();
    }
}

/// Picks the address to listen on: the argument, else the variable, else the default.
fn address(arg: Option<String>, var: Option<String>) -> anyhow::Result<SocketAddr> {
    let text = arg.or(var).unwrap_or_else(|| DEFAULT_ADDR.to_owned());
    text.parse()
        .with_context(|| format!("expected an address like {DEFAULT_ADDR}, found `{text}`"))
}

/// Answers connections until `shutdown` is ready, then lets open requests finish.
async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .service_fn(service::handle);
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);

    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    // Out of file descriptors, most likely: don't spin until some are closed.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let connection = server.serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(service.clone()),
        );
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
        });
    }

    tracing::info!("shutting down");
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some connections were still open");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use http_body_util::{BodyExt, Full};
    use hyper::Request;
    use hyper::body::Bytes;
    use hyper_util::client::legacy::Client;
    use tokio::sync::oneshot;

    #[test]
    fn address_prefers_the_argument() {
        let text = |s: &str| Some(s.to_owned());
        let port = |arg, var| address(arg, var).map(|addr| addr.port()).ok();
        assert_eq!(port(text("127.0.0.1:1"), text("127.0.0.1:2")), Some(1));
        assert_eq!(port(None, text("127.0.0.1:2")), Some(2));
        assert_eq!(port(None, None), Some(8080));
        assert_eq!(port(text("localhost"), None), None);
    }

    #[tokio::test]
    async fn greets_over_tcp() -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, async {
            stopped.await.ok();
        }));

        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(format!("http://{addr}/")).body(r#"{"name":"x"}"#.into())?;
        let response = client.request(request).await?;
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await?.to_bytes();
        assert_eq!(body, r#"{"greeting":"Hello, x!"}"#);

        drop(client);
        stop.send(()).ok();
        server.await?;
        Ok(())
    }
}

//! A loopback listener whose connections can be cut from inside a handler, as a vendor's edge or a bad line would: the
//! client sees a broken connection and no answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The handle by which a handler cuts the connection that its request came over.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    cut: Arc<AtomicBool>,
}

impl Connection {
    /// Nothing is written to the client from now on; its connection is reset. What was sent before still arrives.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

/// Listens on TCP and gives each connection its handle.
pub(super) struct CuttableListener(pub(super) TcpListener);

/// A TCP stream that ends once its handle was cut.
pub(super) struct CuttableStream {
    stream: TcpStream,
    handle: Connection,
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        if self.handle.is_cut() {
            let _ = self.stream.set_zero_linger(); // Closed so, it says RST and not FIN; it ends either way.
        }
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true); // Only speed hangs on it.
        (CuttableStream { stream, handle: Connection::default() }, address)
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().handle.clone()
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose")
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.handle.is_cut() {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.handle.is_cut() {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.handle.is_cut() {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.handle.is_cut() {
            return Poll::Ready(Ok(())); // A farewell would look like an end in order.
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// The search runs in a worker, and browsers start no worker from a page that was opened as a file.
// There, the worker's script runs in a hidden frame instead. The theme looks for this class by its
// name, IFrameWorker.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    const inside = frame.contentWindow;
    inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    const script = inside.document.createElement("script");
    // Messages wait until the script listens.
    this.ready = new Promise((resolve) => script.addEventListener("load", resolve));
    script.src = url;
    inside.document.head.append(script);
    this.inside = inside;
    this.frame = frame;
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}

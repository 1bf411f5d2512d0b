// Talking to the server: a file up, and gradio's queue.

function reason(status, text) {
  try {
    const detail = JSON.parse(text).detail;
    if (typeof detail === "string") return detail;
  } catch {
    // not JSON: the text itself says what is wrong
  }
  return text.slice(0, 300) || `the server answered ${status}`;
}

// XMLHttpRequest, because fetch does not tell how much of an upload has gone.
export function upload(session, file, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `sessions/${session}/files/${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => request.status === 201 ? resolve(JSON.parse(request.responseText)) : reject(new Error(reason(request.status, request.responseText)));
    request.onerror = () => reject(new Error("the server cannot be reached, or refused the file; is the program still running?"));
    request.onabort = () => reject(new Error("cancelled"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

async function post(address, body) {
  const answer = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(reason(answer.status, text));
  return JSON.parse(text);
}

// What a promise gives, unless the work is cancelled before.
export function unless(signal, promise) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(new Error("cancelled"));
    signal.addEventListener("abort", () => reject(new Error("cancelled")));
    promise.then(resolve, reject);
  });
}

// Restore an item; `joined` is called when it is in the queue, `tick` gets its facts again and again, at last with the
// state it ended in.
export async function restore(id, model, work, signal, joined, tick) {
  const line = `${id}-${Date.now()}`;
  await post(`items/${id}/wait`, {});
  signal.throwIfAborted();
  await post("gradio_api/queue/join", { data: [id, model], fn_index: work, session_hash: line, simple_format: true });
  joined();
  await new Promise((resolve, reject) => {
    const source = new EventSource(`gradio_api/queue/data?session_hash=${encodeURIComponent(line)}`);
    const end = (settle, value) => { source.close(); settle(value); };
    signal.addEventListener("abort", () => end(reject, new Error("cancelled")));
    source.onerror = () => end(reject, new Error("the connection to the server is lost; is the program still running?"));
    source.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.msg === "estimation") tick({ rank: message.rank });
      if (message.msg === "process_generating" && message.success) tick(message.output.data[0]);
      if (message.msg === "process_completed" && message.success) end(resolve);
      if (message.msg === "process_completed" && !message.success) end(reject, new Error(message.output?.error || "the server failed"));
      if (message.msg === "unexpected_error") end(reject, new Error(message.message || "the server failed"));
    };
  });
}

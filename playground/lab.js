// The worker, seen from the page: one message is under way at a time, and each is answered by one frame.
import { byId } from "./words.js";

// onFrame(frame) is called with what answers the newest start; frames of what was before are left aside.
export function makeLab(onFrame, onError) {
  const source = new Blob([byId("worker").textContent], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(source));
  let [id, isWaiting] = [0, false];
  worker.onerror = (event) => onError(event.message);
  worker.onmessage = ({ data }) => {
    if (data.id !== id) return;
    isWaiting = false;
    onFrame(data);
  };
  const send = (message) => {
    isWaiting = true;
    worker.postMessage({ ...message, id });
  };
  return {
    start(training) {
      id += 1;
      send({ type: "start", ...training });
    },
    // `steps` of training, or as many of them as fit into `time` milliseconds; false while it is at work.
    advance(steps, time) {
      if (isWaiting) return false;
      send({ type: "advance", steps, time });
      return true;
    },
    isWaiting: () => isWaiting,
  };
}

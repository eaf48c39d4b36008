// A native modal dialog: focus stays inside, Escape closes it, and focus returns to where it came from.
import { html, useEffect, useRef } from "../html.js";

export function Dialog({ id, title, close, children }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.open && dialog.close();
  }, []);
  return html`<dialog id=${id} ref=${box} aria-label=${title} onClose=${close} onClick=${(event) => event.target === box.current && close()}>
    <div class="dialog"><header><h2>${title}</h2><button class="plain" aria-label="Close" onClick=${close}>✕</button></header>${children}</div>
  </dialog>`;
}

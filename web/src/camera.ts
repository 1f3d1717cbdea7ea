// The live camera: frames, one after another, until it is held or stopped.

const SIZE = { width: { ideal: 1280 }, height: { ideal: 960 } };
/** Ten answers a second are enough for the eye and spare the battery. */
const LEAST_GAP_MS = 100;

export class CameraError extends Error {}

const REASONS: Readonly<Record<string, string>> = {
  NotAllowedError: "The camera was not allowed. Allow it for this page in the browser's settings, or choose an image.",
  NotFoundError: "No camera was found on this device. Choose an image instead.",
  NotReadableError: "Another program uses the camera. Close it and try again, or choose an image.",
};

/** Browsers give the camera only to addresses with https, and to localhost. */
export function cameraAllowed(): boolean {
  return window.isSecureContext && "mediaDevices" in navigator;
}

export class Camera {
  private stream: MediaStream | null = null;
  private facing: "environment" | "user" = "environment";
  private running = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly onFrame: (frame: HTMLVideoElement) => Promise<void>,
  ) {}

  get on(): boolean {
    return this.stream !== null;
  }

  get held(): boolean {
    return this.on && !this.running;
  }

  async start(): Promise<void> {
    this.stop();
    try {
      const video = { ...SIZE, facingMode: this.facing };
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: false, video });
    } catch (error) {
      const name = error instanceof Error ? error.name : "";
      throw new CameraError(REASONS[name] ?? `The camera cannot be used (${name}). Choose an image instead.`);
    }
    this.video.srcObject = this.stream;
    await this.resume();
  }

  /** Start again with the camera on the other side. */
  async turn(): Promise<void> {
    this.facing = this.facing === "user" ? "environment" : "user";
    await this.start();
  }

  hold(): void {
    this.running = false;
    this.video.pause();
  }

  async resume(): Promise<void> {
    await this.video.play();
    if (this.running) return;
    this.running = true;
    void this.loop();
  }

  stop(): void {
    this.running = false;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  private async loop(): Promise<void> {
    while (this.running) {
      const started = performance.now();
      if (this.video.videoWidth > 0 && !document.hidden) await this.onFrame(this.video);
      const left = LEAST_GAP_MS - (performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, Math.max(left, 0)));
    }
  }
}

/** Whether there is another camera to turn to; known only once the camera was allowed. */
export async function severalCameras(): Promise<boolean> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").length > 1;
}

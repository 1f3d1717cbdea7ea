/** Versions of the runtimes, put in by the build. */
declare const __LITERT__: string;
declare const __ONNXRUNTIME__: string;
